"""Tasks of EleutherAI's lm-evaluation-harness, by our rollout."""
