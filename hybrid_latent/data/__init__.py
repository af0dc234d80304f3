"""Problems: where they come from, what they look like, how they are batched."""

from hybrid_latent.extras import needs

needs('train', 'grain', 'tensorflow_datasets', 'tokenizers', 'transformers')
