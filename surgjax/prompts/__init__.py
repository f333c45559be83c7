"""Prompts: their encoder, and the simulated user: which frames, what kind, where clicks fall."""
