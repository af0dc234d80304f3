"""The benchmarks of the four papers; `benchmark_rows` has the rows of one.

The file of a benchmark is below a folder of benchmarks. Its columns on the
Hugging Face hub and in tensorflow-datasets may differ; the rows are the same.
"""

from typing import NamedTuple

from hybrid_latent.data import benchmark_tasks as tasks
from hybrid_latent.data.answer_formats import (
  LETTER,
  MATH,
  NUMBER,
  SENTENCE,
  TEXT,
  AnswerFormat,
)
from hybrid_latent.data.tasks import TASKS, Task


class HubDataset(NamedTuple):
  """A data set of the Hugging Face hub, with its columns."""

  name: str
  config: str | None
  split: str
  task: Task


class Benchmark(NamedTuple):
  """A test set."""

  title: str
  rows: int  # of the file
  file: str
  task: Task  # the columns of the file
  format: AnswerFormat
  source: str  # the repository of the file
  licence: str
  hub: HubDataset | None = None
  tfds: Task | None = None  # of a builder that needs no tensorflow


def _lsat(section: str, rows: int) -> Benchmark:
  return Benchmark(
    f'LSAT {section.upper()}',
    rows,
    f'lsat/lsat-{section}.jsonl',
    tasks.LSAT[section],
    LETTER,
    'ruixiangcui/AGIEval',
    'MIT, exam © LSAC',
    HubDataset(f'hails/agieval-lsat-{section}', None, 'test', tasks.LSAT_HUB),
  )


def _gpqa(config: str, title: str, rows: int) -> Benchmark:
  return Benchmark(
    title,
    rows,
    f'gpqa/{config}.csv',
    tasks.GPQA,
    LETTER,
    'idavidrein/gpqa',
    'CC BY 4.0, not in plain text',
    HubDataset('Idavidrein/gpqa', config, 'train', tasks.GPQA),
  )


def _knowledge(
  folder: str,
  title: str,
  rows: int,
  licence: str,
  hub: HubDataset | None = None,
) -> Benchmark:
  """Questions with passages, in the layout of the task `knowledge`."""
  file, task = f'{folder}/test.jsonl', TASKS['knowledge']
  return Benchmark(title, rows, file, task, TEXT, '', licence, hub)


_QWEN, _HARNESS = 'QwenLM/Qwen2.5-Math', 'ZubinGou/math-evaluation-harness'
_DEEPSCALER = 'agentica-project/deepscaler'
_AGIEVAL = 'ruixiangcui/AGIEval'
# fmt: off
BENCHMARKS = {
  'gsm8k': Benchmark(
    'GSM8K', 1319, 'gsm8k/test.jsonl', TASKS['gsm8k'], NUMBER,
    'openai/grade-school-math', 'MIT',
    HubDataset('openai/gsm8k', 'main', 'test', TASKS['gsm8k']),
  ),
  'gsm_hard': Benchmark(
    'GSM-Hard', 1319, 'gsm_hard/test.jsonl', tasks.GSM_HARD, NUMBER,
    _HARNESS, 'MIT',
    HubDataset('reasoning-machines/gsm-hard', None, 'train', tasks.GSM_HARD),
  ),
  'svamp': Benchmark(
    'SVAMP', 1000, 'svamp/test.jsonl', tasks.SVAMP, NUMBER, _QWEN, 'MIT',
    HubDataset('ChilleD/SVAMP', None, 'test', tasks.SVAMP),
  ),
  'multiarith': Benchmark(
    'MultiArith', 180, 'multiarith/test.jsonl', tasks.MULTIARITH, NUMBER,
    '', 'not stated',
    HubDataset('ChilleD/MultiArith', None, 'test', tasks.MULTIARITH),
  ),
  'asdiv': Benchmark(
    'ASDiv', 2215, 'asdiv/test.jsonl', tasks.ASDIV, NUMBER,
    _QWEN, 'CC BY-NC 4.0',
    HubDataset('EleutherAI/asdiv', None, 'validation', tasks.ASDIV),
  ),
  'mawps': Benchmark(
    'MAWPS', 2065, 'mawps/test.jsonl', TASKS['mawps'], NUMBER, _QWEN, 'MIT',
  ),
  'math': Benchmark(
    'MATH', 5000, 'math/test.jsonl', TASKS['math'], MATH, _HARNESS, 'MIT',
    HubDataset(
      'DigitalLearningGmbH/MATH-lighteval', None, 'test', TASKS['math']
    ),
  ),
  'math500': Benchmark(
    'MATH-500', 500, 'math500/test.jsonl', TASKS['math500'], MATH,
    'openai/prm800k', 'MIT',
    HubDataset('HuggingFaceH4/MATH-500', None, 'test', TASKS['math500']),
  ),
  'math_agieval': Benchmark(
    'MATH, AGIEval', 1000, 'math_agieval/test.jsonl', TASKS['math_agieval'],
    MATH, _AGIEVAL, 'MIT',
  ),
  'aime24': Benchmark(
    'AIME 2024', 30, 'aime24/test.jsonl', tasks.INTEGER, MATH, _QWEN, '© MAA',
    HubDataset('HuggingFaceH4/aime_2024', None, 'train', tasks.INTEGER),
  ),
  'aime25': Benchmark(
    'AIME 2025', 30, 'aime25/test.jsonl', tasks.INTEGER, MATH, '', '© MAA',
    HubDataset('math-ai/aime25', None, 'test', tasks.INTEGER),
  ),
  'amc23': Benchmark(
    'AMC 2023', 40, 'amc23/test.jsonl', TASKS['amc23'], MATH, _QWEN, '© MAA',
    HubDataset('math-ai/amc23', None, 'test', tasks.AMC23_HUB),
  ),
  # HyRea's AMC, by the denominators of its accuracies.
  'amc83': Benchmark(
    'AMC 2022 and 2023', 83, 'amc83/amc.json', tasks.INTEGER, MATH,
    _DEEPSCALER, '© MAA',
    HubDataset('AI-MO/aimo-validation-amc', None, 'train', tasks.INTEGER),
  ),
  'minerva_math': Benchmark(
    'Minerva', 272, 'minerva_math/test.jsonl', TASKS['minerva_math'], MATH,
    _QWEN, 'CC BY-NC-SA 4.0',
    HubDataset('math-ai/minervamath', None, 'test', tasks.MINERVA_HUB),
  ),
  'olympiadbench': Benchmark(
    'OlympiadBench', 675, 'olympiadbench/test.jsonl', TASKS['olympiadbench'],
    MATH, _QWEN, 'MIT',
    HubDataset(
      'Hothan/OlympiadBench', 'OE_TO_maths_en_COMP', 'train',
      TASKS['olympiadbench'],
    ),
  ),
  'mmlu': Benchmark(
    'MMLU', 14042, 'mmlu/test.jsonl', tasks.MMLU, LETTER,
    'hendrycks/test', 'MIT',
    HubDataset('cais/mmlu', 'all', 'test', tasks.MMLU),
  ),
  'mmlu_stem': Benchmark(
    'MMLU-STEM', 3018, 'mmlu_stem/test.jsonl', tasks.MMLU, LETTER,
    _QWEN, 'MIT',
    HubDataset('TIGER-Lab/MMLU-STEM', None, 'test', tasks.MMLU),
  ),
  'arc_c': Benchmark(
    'ARC-Challenge', 1172, 'arc_c/test.jsonl', tasks.ARC, LETTER,
    '', 'CC BY-SA 4.0',
    HubDataset('allenai/ai2_arc', 'ARC-Challenge', 'test', tasks.ARC),
    tasks.ARC_TFDS,
  ),
  'gpqa': _gpqa('gpqa_main', 'GPQA', 448),
  'gpqa_diamond': _gpqa('gpqa_diamond', 'GPQA-Diamond', 198),
  'lsat_ar': _lsat('ar', 230),
  'lsat_lr': _lsat('lr', 510),
  'lsat_rc': _lsat('rc', 269),
  'hellaswag': Benchmark(
    'HellaSwag', 10042, 'hellaswag/hellaswag_val.jsonl', tasks.HELLASWAG,
    LETTER, 'rowanz/hellaswag', 'MIT',
    HubDataset('Rowan/hellaswag', None, 'validation', tasks.HELLASWAG),
  ),
  'prosqa': Benchmark(
    'ProsQA', 500, 'prosqa/prosqa_test.json', TASKS['prosqa'], SENTENCE,
    'facebookresearch/coconut', 'MIT',
  ),
  'nq': _knowledge('nq', 'Natural Questions', 3610, 'CC BY-SA 3.0'),
  'triviaqa': _knowledge('triviaqa', 'TriviaQA', 11313, 'Apache-2.0'),
  'hotpotqa': _knowledge(
    'hotpotqa', 'HotpotQA', 7405, 'CC BY-SA 4.0',
    HubDataset(
      'hotpotqa/hotpot_qa', 'distractor', 'validation', tasks.HOTPOTQA
    ),
  ),
  '2wiki': _knowledge(
    '2wiki', '2WikiMultihopQA', 12576, 'Apache-2.0',
    HubDataset(
      'framolfese/2WikiMultihopQA', None, 'validation', tasks.HOTPOTQA
    ),
  ),
  'bamboogle': _knowledge('bamboogle', 'Bamboogle', 125, 'MIT'),
}
# fmt: on
