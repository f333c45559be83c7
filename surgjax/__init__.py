"""Surgical video segmentation in JAX: SAM 2.1 that streams, and the systems built on it.

Start with `surgjax.inference` (VideoPredictor, ImagePredictor) or `python -m experiments.track`.
Importing this package loads nothing heavy; the map of the repository is WORKSPACE.md.
"""

__version__ = "0.1.0"
