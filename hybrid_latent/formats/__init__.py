"""File formats of models, tokenizers and rollouts."""

from hybrid_latent.extras import needs

needs('train', 'gguf', 'huggingface_hub', 'safetensors', 'transformers')
