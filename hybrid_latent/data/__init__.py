"""Data sets of problems, and their batches."""

from hybrid_latent.extras import needs

needs('train', 'grain', 'tensorflow_datasets', 'tokenizers', 'transformers')
