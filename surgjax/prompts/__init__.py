"""Prompts: their encoder, and the simulated user: which frames, which kind, where the clicks fall."""
