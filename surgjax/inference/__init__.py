"""Inference: predictors for videos and images, and the streaming core below them."""

from surgjax.inference.image import ImagePredictor
from surgjax.inference.video import VideoPredictor

__all__ = ["ImagePredictor", "VideoPredictor"]
