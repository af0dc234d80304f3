"""The reasoner in torch: transformers' decoder between two linear maps."""

from pathlib import Path

import jax
import jax.numpy as jnp
import torch
from transformers import Qwen3Config, Qwen3Model

from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.reasoner import Reasoner

WIDTH, LATENTS = 32, 8  # of its decoder, and of its output


class TorchReasoner(torch.nn.Module):
  """Equation 5 of LRT."""

  def __init__(self, width: int):
    """For a model of this width. Every parameter is random: zero biases and
    unit norms would hide errors."""
    super().__init__()
    torch.manual_seed(0)
    config = Qwen3Config(
      vocab_size=61,
      hidden_size=WIDTH,
      intermediate_size=40,
      num_hidden_layers=2,
      num_attention_heads=4,
      num_key_value_heads=2,
      head_dim=16,
      tie_word_embeddings=True,
    )
    self.backbone = Qwen3Model(config)
    self.f_in = torch.nn.Linear(width, WIDTH)
    self.f_out = torch.nn.Linear(WIDTH, width)
    self.r = torch.nn.Parameter(torch.empty(LATENTS, WIDTH))
    with torch.no_grad():
      for name, x in self.named_parameters():
        around_one = 'norm' in name or name == 'r'
        noise = torch.randn_like(x)
        x.copy_(1 + 0.3 * noise if around_one else 0.12 * noise)

  def forward(self, states: torch.Tensor, reads: str) -> torch.Tensor:
    """The latents [j d] of a prompt whose states are [p d]."""
    seen = self.f_in(states)
    x = seen[-1:] * self.r if reads == 'last' else torch.cat([seen, self.r])
    y = self.backbone(inputs_embeds=x[None]).last_hidden_state[0]
    return self.f_out(y[-LATENTS:])


def in_jax(theirs: TorchReasoner, folder: Path) -> Reasoner:
  """The same one of ours. Its backbone is read from a folder in which no name
  begins with 'model.', as in that of Qwen3-Embedding."""
  theirs.backbone.save_pretrained(folder)
  arrays = {name: jnp.asarray(x.detach().numpy())
            for name, x in theirs.named_parameters()}  # fmt: skip
  made = Reasoner(
    jax.random.key(0),
    pretrained(folder).model,
    width=theirs.f_in.in_features,
    latents=LATENTS,
  )
  for name, linear in (('f_in', made.f_in), ('f_out', made.f_out)):
    linear.weight[...] = arrays[f'{name}.weight']
    linear.bias[...] = arrays[f'{name}.bias']
  made.r[...] = arrays['r']
  return made


def reading(made: Reasoner, reads: str) -> Reasoner:
  """The same one, which reads something else."""
  made = jax.tree.map(lambda x: x, made)
  made.reads = reads
  return made
