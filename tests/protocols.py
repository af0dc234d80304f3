"""What `make lint` holds to the protocols: pyright reads this, nothing runs it.

A Curriculum is typed where it is made.
"""

from functools import partial

import hybrid_latent as hl
from hybrid_latent.objectives.advantages import leave_one_out
from hybrid_latent.objectives.base import Advantage, Objective
from hybrid_latent.objectives.codi import self_distillation
from hybrid_latent.objectives.colar import colar
from hybrid_latent.objectives.cross_entropy import cross_entropy
from hybrid_latent.objectives.gae import gae
from hybrid_latent.objectives.kava import kava
from hybrid_latent.objectives.sim_cot import sim_cot
from hybrid_latent.objectives.supervised import weighted_cross_entropy
from hybrid_latent.rewards import answers, hrpo, math
from hybrid_latent.rewards.base import Reward
from hybrid_latent.rewards.hyrea import latent
from hybrid_latent.rewards.knowledge import knowledge
from hybrid_latent.rewards.lengths import lc_r1, shorter_better, soft_overlong
from hybrid_latent.rewards.soft_tokens import soft_tokens

FEEDBACKS: tuple[hl.Feedback, ...] = (
  *(
    hl.colar(),
    hl.discrete(),
    hl.gated(),
    hl.hidden(),
    hl.prefix(),
    hl.projected(),
  ),
  *(hl.soft(), hl.soft_thinking(), hl.switching(hl.soft())),
  *(hl.gumbel_soft(), hl.jacobi(), hl.multiplex(), hl.swireasoning()),
)
ADVANTAGES: tuple[Advantage, ...] = (hl.group_relative, leave_one_out, gae)
OBJECTIVES: tuple[Objective, ...] = (hl.policy_gradient, cross_entropy)
SUPERVISED: tuple[Objective, ...] = (
  weighted_cross_entropy,
  self_distillation,
  sim_cot,
  kava,
  colar,
)
REWARDS: tuple[Reward, ...] = (
  *(answers.exact, answers.correct, math.accuracy),
  *(hrpo.gsm8k, hrpo.choice, hrpo.boxed_math, hrpo.correct),
  *(latent, knowledge, lc_r1, shorter_better, soft_tokens),
  partial(math.format, pattern='.*'),
  partial(soft_overlong, limit=8, buffer=2),
)
