"""Inference: predictors for videos and images, and the streaming core below them."""

from surgjax.inference.automatic_masks import AutomaticMaskGenerator
from surgjax.inference.image import ImagePredictor
from surgjax.inference.video import VideoPredictor

__all__ = ["AutomaticMaskGenerator", "ImagePredictor", "VideoPredictor"]
