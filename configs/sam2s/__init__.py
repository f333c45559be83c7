"""Runs of SAM2S."""
