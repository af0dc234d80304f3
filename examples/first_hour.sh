#!/usr/bin/env bash
# From your data, reward and model to a trained Hugging Face folder: each step of
# docs/own_data.md, small enough for two CPU cores.
#
#     examples/first_hour.sh FOLDER      (PYTHON=python by default)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root:$root/kernels:${PYTHONPATH-}
here=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$here"
run() {
  echo "+ $*"
  local start=$SECONDS
  "${PYTHON:-python}" -m "experiments.$@"
  echo "  $((SECONDS - start)) s: $1"
}

# Data, and a reward in a file beside it.
"${PYTHON:-python}" - <<'PY'
import json, random
draw = random.Random(0)
for name, count in ('train', 200), ('test', 32):
  with open(f'{name}.jsonl', 'w') as file:
    for _ in range(count):
      a, b = draw.randrange(50), draw.randrange(50)
      row = {'question': f'What is {a} + {b}?', 'answer': str(a + b)}
      file.write(json.dumps(row) + '\n')
PY
cat > my_rewards.py <<'PY'
def brief_digits(completions, *, answer, completion_ids, **columns):
  """The share of digits, minus 0.001 per token."""
  return [
    sum(map(str.isdigit, text)) / max(len(text), 1) - 0.001 * len(ids)
    for text, ids in zip(completions, completion_ids)
  ]
PY

# A model. Any Hugging Face folder, GGUF file or preset is one as well.
run new_model --to=model --tokenizer=arithmetic:tokenizer --width=32 \
  --layers=2 --heads=2 --kv_heads=1 --head_dim=16 --mlp=64

common=(
  --config.data.path="$here" --config.data.system_prompt=
  --config.rewards.mine.function=my_rewards:brief_digits
  --config.rewards.mine.weight=1
  --config.rollout.prompts_per_step=4 --config.rollout.num_generations=4
  --config.rollout.max_prompt_length=64 --config.rollout.max_completion_length=16
  --config.gradient_accumulation_steps=1 --config.eval.num_prompts=16
  --config.checkpoint.every=5 --config.optimizer.groups.lora.lr=1e-2
)
hrpo=(grpo --workdir=hrpo "--config=hrpo_gsm8k:$here/model" "${common[@]}"
  --config.rewards.gsm8k.weight=0)

# HRPO; Ctrl-C in the middle; the same command goes on.
start=$SECONDS
"${PYTHON:-python}" -m "experiments.${hrpo[@]}" --config.max_steps=40 &
until grep -qs '"step": 3,' hrpo/metrics.jsonl; do sleep 0.2; done
kill -INT $!
code=0; wait $! || code=$?
((code == 130)) || { echo "Ctrl-C ended it with $code"; exit 1; }
echo "  $((SECONDS - start)) s: until Ctrl-C"
run "${hrpo[@]}" --config.max_steps=40

# GRPO beside HRPO, two seeds each; one page over all of them.
run sweep --workdir=compare "${common[@]}" --config.max_steps=10 \
  --grid="config=grpo_gsm8k:$here/model|hrpo_gsm8k:$here/model; config.seed=0,1"
run report --runs compare hrpo --out=compare.html

# A folder for transformers.
run export --workdir=hrpo --to=exported
"${PYTHON:-python}" - <<'PY'
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained('exported')
tokenizer = AutoTokenizer.from_pretrained('exported')
inputs = tokenizer('What is 1 + 2?', return_tensors='pt')
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=8)[0]))
PY
echo "$here/compare.html, $here/exported"
