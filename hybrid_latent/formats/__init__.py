"""Models, tokenizers and rollouts as files."""

from hybrid_latent.extras import needs

needs('train', 'gguf', 'huggingface_hub', 'safetensors', 'transformers')
