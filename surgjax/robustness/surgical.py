"""What goes wrong in an operation: smoke, blood, glare, fog, low light, a lost focus.

Path:    synthetic.lens -> [surgical] -> evaluation
Axes:    image_u8 [H, W, 3] RGB.
Units:   uint8 in 0..255; severity 1 to 5 are a fifth to the whole of what the effects can do.
Errors:  ValueError for a name, severity, seed or picture that does not fit.
Source:  ours; the effects are those of the generated world.
Differs: kept apart from the 18 of `corruptions`: numbers over these are comparable with nobody's.
"""

from collections.abc import Sequence

import numpy as np

from surgjax.robustness.corruptions import SEVERITIES, check_picture, generator
from surgjax.synthetic import lens

SURGICAL = tuple(lens.EFFECTS)


def corrupt_surgical(
    image_u8: np.ndarray, name: str, severity: int, seed: int | Sequence[int] = 0
) -> np.ndarray:
    """A copy of a picture with one effect on it, uint8 [H, W, 3]; seeds as in `corrupt`."""
    check_picture(image_u8, name, SURGICAL, severity)
    return lens.EFFECTS[name](image_u8, severity / SEVERITIES[-1], generator(name, seed))
