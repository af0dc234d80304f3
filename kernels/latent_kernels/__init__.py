"""Kernels that make latent feedback cheap. They need jax and jaxtyping."""

from latent_kernels.soft.definition import SoftEmbedding
from latent_kernels.soft.embedding import IMPLEMENTATIONS, soft_embedding
from latent_kernels.soft.from_hidden import soft_embedding_from_hidden
from latent_kernels.soft.vocabulary import vocabulary_attention

__all__ = (
  'IMPLEMENTATIONS',
  'SoftEmbedding',
  'soft_embedding',
  'soft_embedding_from_hidden',
  'vocabulary_attention',
)
