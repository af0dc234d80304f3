"""The parser of the config's own data set."""

from experiments.evaluation.datasets import datasets_of
from tests.experiments import rl_tiny


def test_it_reads_what_the_reward_for_accuracy_grades():
  config = rl_tiny.get_config('FOLDER,grpo').unlock()
  config.eval.num_prompts = 2
  text = 'So 3. #### (B) 14'
  (dataset,) = datasets_of(config)
  assert (len(dataset.rows), dataset.parse(text)) == (2, '(B) 14')
  config.rewards.accuracy = dict(
    function='hybrid_latent.rewards.hrpo:choice', weight=1.0, kwargs={}
  )
  (dataset,) = datasets_of(config)
  assert dataset.parse(text) == 'B'
