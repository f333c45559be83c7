"""Prompts: their encoder, and the simulated clicks of training and evaluation."""
