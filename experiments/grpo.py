r"""Trains a policy by reinforcement: HRPO with latent feedback, GRPO without.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=experiments/configs/hrpo_gsm8k.py:smollm2-135m \
        --config.data.path=../shared/data/gsm8k --config.steps=3

A step samples a group of completions for each prompt, grades them in worker
processes, scores them under the base model meanwhile, and makes one update on
exactly what was sampled. The same command resumes a run that was stopped.
"""

import itertools
from contextlib import closing
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import command
from experiments.command import Config
from experiments.named import named
from experiments.policies import chat_ids, checked_resume, placed, subject
from hybrid_latent import metrics, optim, sharding
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.data.prompts import eval_batches, prompt_batches
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.models import lora
from hybrid_latent.models.transformer import unstack
from hybrid_latent.objectives.base import Peak, token_mean
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.replay import replay, trimmed
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.rollout import decode, prefill
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.trees import combine, partition
from hybrid_latent.types import Prompt, Trajectory

EVALUATED = (
  'completions/mean_length',
  'completions/clipped_ratio',
  'hidden_ratio',
)


class Batch(NamedTuple):
  """One update's data, one row a completion."""

  prompt: Prompt
  trajectory: Trajectory  # without `steps`
  reference: jax.Array | None  # f32[b t]: log-probs of the base model
  advantages: jax.Array  # f32[b]
  graded: jax.Array  # bool[b]: rows without a grade train nothing


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one.
  Returns the evaluations it made."""
  _check(config)
  group, max_tokens = config.rollout.group, config.rollout.max_tokens
  init_key, rollout_key, eval_key = jax.random.split(
    jax.random.key(config.seed), 3
  )

  # ------------------------------------------------------------ mesh and data
  mesh = sharding.mesh(**config.mesh)
  host, hosts = jax.process_index(), jax.process_count()
  actor = subject(config, mesh, init_key)
  tokenizer = actor.tokenizer
  encode = lambda row: chat_ids(tokenizer, config.data.system, row['question'])
  problems = partial(
    named(config.data.source, 'hybrid_latent.data'), **config.data.of
  )
  if 'path' in config.data:
    problems = partial(problems, path=config.data.path or None)
  shape = {
    'length': config.rollout.prompt_length,
    'pad': int(actor.stop.pad),
    'shard': (host, hosts),
  }
  prompts = config.rollout.prompts // hosts
  batches = iter(
    prompt_batches(
      problems(split=config.data.train),
      encode,
      batch=prompts,
      seed=config.seed,
      **shape,
    )
  )
  tests = problems(split=config.data.test)
  tests = [tests[i] for i in range(min(config.eval.prompts, len(tests)))]
  test_batches = [*eval_batches(tests, encode, batch=prompts * group, **shape)]

  # --------------------------- what is trained, what is not, and the optimizer
  feedback = named(config.feedback.function, 'hybrid_latent.feedback')(
    **config.feedback.kwargs
  )
  objective = partial(
    named(config.objective.function, 'hybrid_latent.objectives'),
    **config.objective.kwargs,
  )
  advantages_of = partial(
    named(config.advantage.function, 'hybrid_latent.objectives'),
    **config.advantage.kwargs,
  )
  hyper = config.optimizer.to_dict()
  is_trained = optim.is_trained(actor.policy, hyper['groups'])
  trainable, frozen = partition(actor.policy, is_trained)
  tx = optim.adamw(trainable, steps=config.steps, **hyper)
  opt_state = placed(jax.jit(tx.init)(trainable), mesh)
  where = jax.tree.map(lambda x: x.sharding, (trainable, opt_state))

  # ----------------------------------------------------------------- programs
  @jax.jit
  def sampler(trainable, frozen):
    """The policy as decoding wants it: adapters merged, a weight a layer."""
    policy = combine(trainable, frozen)
    return Policy(unstack(lora.merge(policy.model)), policy.feedback)

  read = jax.jit(prefill)
  sample = jax.jit(
    partial(
      decode,
      feedback=feedback,
      max_steps=max_tokens,
      stages=config.rollout.stages,
    ),
    static_argnames='group',
  )
  score = partial(
    replay,
    score_temperature=config.rollout.sampling.score_temperature,
    chunk=config.rollout.chunk,
  )

  @jax.jit
  def reference_log_probs(base, prompt, trajectory):
    """Under the model as it was loaded, which reads token ids only."""
    return score(base, discrete(), prompt, trajectory).log_probs

  @partial(jax.jit, donate_argnums=(0, 2), out_shardings=(*where, None))
  def update(trainable, frozen, opt_state, batch):
    """One step of the policy on what it sampled itself."""

    def loss(trainable, rows):
      policy = combine(trainable, frozen)
      scores = score(policy, feedback, rows.prompt, rows.trajectory)
      mask = rows.trajectory.mask & rows.graded[:, None]
      mean, parts = objective(
        scores.log_probs, rows.reference, rows.advantages, mask
      )
      gap = jnp.abs(scores.log_probs - rows.trajectory.log_probs)
      difference = 'sampling/sampling_logp_difference'
      return mean, parts | {
        'entropy': token_mean(scores.entropy, mask),
        f'{difference}/mean': token_mean(gap, mask),
        f'{difference}/max': Peak(gap.max()),
      }

    gradient, figures = optim.mean_gradient(
      loss, trainable, batch, micro_batches=config.micro_batches
    )
    gradient = jax.lax.with_sharding_constraint(gradient, where[0])
    figures['grad_norm'] = optax.tree.norm(gradient)
    updates, opt_state = tx.update(gradient, opt_state, trainable)
    return optax.apply_updates(trainable, updates), opt_state, figures

  # -------------------------------------------------------------------- parts
  buckets = config.rollout.buckets
  train_sampling = sampling(**config.rollout.sampling)
  eval_sampling = sampling(
    **{**config.rollout.sampling, 'greedy': config.eval.greedy}
  )

  def begin(weights, batch):
    """Dispatches the reading of a batch's prompts."""
    longest = sharding.over_hosts(np.max, batch['mask'].sum(-1).max())
    width = _bucket(longest, config.rollout.prompt_length, buckets)
    prompt = Prompt(
      batch['tokens'][:, -width:], batch['mask'][:, -width:], batch['ids']
    )
    prompt = sharding.from_host(prompt, mesh)
    return prompt, read(weights, prompt)

  def texts_of(out):
    ids = [row[keep] for row, keep in zip(out.tokens, out.mask, strict=True)]
    return tokenizer.batch_decode(ids, skip_special_tokens=True)

  def grade(texts, rows, group):
    """Starts to grade completions; columns are those of the data's rows."""
    columns = {name: [row[name] for row in rows for _ in range(group)]
               for name in rows[0]}  # fmt: skip
    return grader.submit(texts, columns, group)

  def evaluate(step, weights):
    """The test prompts, a completion each."""
    outs, gradings, valid = [], [], []
    key = jax.random.fold_in(eval_key, step)
    for batch in test_batches:
      prompt, ready = begin(weights, batch)
      out = sample(
        weights,
        prompt=prompt,
        prefilled=ready,
        key=key,
        sampling=eval_sampling,
        stop=actor.stop,
        group=1,
      )
      outs.append(sharding.to_host(_seen(out)))
      gradings.append(grade(texts_of(outs[-1]), batch['rows'], 1))
      valid.append(batch['valid'])
    whole = lambda *parts: np.concatenate(parts)
    out, valid = jax.tree.map(whole, *outs), whole(*valid)
    grades = jax.tree.map(whole, *[grading.result() for grading in gradings])
    grades = {name: values[valid] for name, values in grades.items()}
    reward = total(grades, grader.weights)
    figures = metrics.completion_metrics(out, valid)
    graded = metrics.reward_metrics(grades, reward, group=1)
    return {
      f'eval/{name}': graded[f'rewards/{name}/mean'] for name in grader.weights
    } | {f'eval/{name}': figures[name] for name in EVALUATED}

  def finish(step, figures, host_figures, ids):
    """Waits for an update, checks it and writes it down."""
    with clock('update'):
      figures = {k: float(v) for k, v in jax.device_get(figures).items()}
    if not np.isfinite([figures['loss'], figures['grad_norm']]).all():
      raise FloatingPointError(
        f'step {step}: loss {figures["loss"]}, grad_norm '
        f'{figures["grad_norm"]} on prompts {ids} of {config.data.train!r}; '
        f'the last checkpoint in {workdir} is from before it'
      )
    times = clock.metrics()
    speed = host_figures['completions/tokens'] / times['time/step']
    telemetry.log(
      step, figures | host_figures | times | {'tokens_per_second': speed}
    )

  # ------------------------------------------------------------------ restore
  # 1. the configuration has to be the run's; 2. arrays; 3. place in the data.
  checkpoints = Checkpoints(f'{workdir}/checkpoints')
  start, num_tokens = checkpoints.latest or 0, 0
  if start:
    notes = checked_resume(checkpoints.notes(start), config, workdir)
    trainable, opt_state = checkpoints.restore(start, (trainable, opt_state))
    batches.set_state(notes['data'])
    num_tokens = notes['num_tokens']

  # --------------------------------------------------------------------- loop
  pending, evaluations = None, []
  with (
    jax.set_mesh(mesh),
    closing(checkpoints),
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Telemetry(
      workdir, total=config.steps, process=host, resume_step=start
    ) as telemetry,
  ):
    clock = StepClock()
    for step in range(start, config.steps + 1):
      # ------ dispatch this step, then look at the last one
      last, position = step == config.steps, batches.get_state()
      with clock('prefill'):
        weights = sampler(trainable, frozen)
        if not last:
          batch = next(batches)
          prompt, ready = begin(weights, batch)
      if pending:
        finish(*pending)
      if step > start and (last or step % config.checkpoint_every == 0):
        notes = {'config': config.to_json(), 'data': position,
                 'num_tokens': num_tokens}  # fmt: skip
        checkpoints.save(step, (trainable, opt_state), notes)
      if tests and (last or step % config.eval.every == 0):
        evaluations.append(evaluate(step, weights))
        telemetry.log(step, evaluations[-1])
        clock.metrics()  # an evaluation is part of no step
      if last:
        break
      # ------ sample
      with clock('prefill'):
        jax.block_until_ready(ready)
      with clock('decode'):
        trajectory = sample(
          weights,
          prompt=prompt,
          prefilled=ready,
          key=jax.random.fold_in(rollout_key, step),
          sampling=train_sampling,
          stop=actor.stop,
          group=group,
        )
        out = sharding.to_host(_seen(trajectory))
      del weights, ready
      # ------ grade, and score under the base model meanwhile
      with clock('reward'):
        texts = texts_of(out)
        grading = grade(texts, batch['rows'], group)
      with clock('log_probs'):
        longest = _bucket(int(trajectory.steps), max_tokens, buckets)
        trajectory = trimmed(trajectory, longest)._replace(steps=None)
        reference = None
        if config.objective.kwargs.get('beta'):
          reference = reference_log_probs(actor.base, prompt, trajectory)
          jax.block_until_ready(reference)
      with clock('reward'):
        grades = grading.result()
        reward = total(grades, grader.weights)
      # ------ learn
      with clock('update'):
        advantages = np.asarray(advantages_of(jnp.asarray(reward), group))
        trainable, opt_state, figures = update(
          trainable,
          frozen,
          opt_state,
          Batch(
            jax.tree.map(lambda x: jnp.repeat(x, group, axis=0), prompt),
            trajectory,
            reference,
            *sharding.from_host((advantages, ~np.isnan(reward)), mesh),
          ),
        )
      num_tokens += int(out.mask.sum())
      host_figures = {
        **metrics.completion_metrics(out),
        **metrics.reward_metrics(grades, reward, group),
        'num_tokens': num_tokens,
      }
      pending = (step, figures, host_figures, batch['ids'].tolist())
      some = batch['rows'][: config.completions]
      telemetry.completions(
        step, _completions(tokenizer, out, texts, some, reward, group)
      )
  return evaluations


def _check(config):
  """What no single part could refuse."""
  if config.epochs != 1:
    raise ValueError(
      f'config.epochs is {config.epochs}: write 1. A trajectory may be trained '
      'on once, by the weights that sampled it: its recorded latents were made '
      'by them, and the loss has no ratio that could correct for others. For '
      'more updates sample more often: smaller rollout.prompts, more steps'
    )
  if config.rollout.group < 2:
    raise ValueError(
      f'config.rollout.group is {config.rollout.group}: a completion is judged '
      'against the others of its prompt, so write at least 2'
    )
  if config.rollout.prompts % jax.process_count():
    raise ValueError(
      f'config.rollout.prompts is {config.rollout.prompts}: write a multiple '
      f'of the {jax.process_count()} hosts'
    )


def _bucket(longest: int, limit: int, buckets: int) -> int:
  """The smallest of limit, limit / 2, limit / 4, ... (as many as `buckets`)
  that holds `longest`: a run compiles a handful of shapes."""
  sizes = [-(-limit // 2**i) for i in range(buckets)]
  return min(size for size in sizes if size >= longest)


def _seen(trajectory):
  """Without the record, which stays on the device."""
  return trajectory._replace(record=(), steps=())


def _completions(tokenizer, out, texts, rows, reward, group):
  """The first completion of each row's prompt, for people to read."""
  shown = []
  for i, row in zip(itertools.count(0, group), rows, strict=False):
    ids = out.tokens[i][out.mask[i]].tolist()
    shown.append(
      {
        'prompt': row['question'],
        'completion': texts[i],
        'tokens': [tokenizer.decode([token]) for token in ids],
        'latent': np.round(out.latent[i][out.mask[i]], 4).tolist(),
        'reward': float(reward[i]),
        'answer': row['answer'],
      }
    )
  return shown


if __name__ == '__main__':
  command.run(train)
