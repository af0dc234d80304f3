"""Train language models to think partly in words and partly in latents."""
