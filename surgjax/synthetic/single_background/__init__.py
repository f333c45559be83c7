"""A segmentation set from one background image and a few instrument cut-outs.

Path:    background, cut-outs -> [single_background] -> images, pseudo-videos with exact truth
"""

from surgjax.synthetic.single_background.compose import (
    Composition,
    SingleBackground,
    SingleBackgroundConfig,
)
from surgjax.synthetic.single_background.cutouts import Cutout, read_background, read_cutouts

__all__ = [
    "Composition",
    "Cutout",
    "SingleBackground",
    "SingleBackgroundConfig",
    "read_background",
    "read_cutouts",
]
