"""The 18 corruptions, five severities each, that surgical segmentation has been tested with.

Path:    noises, blurs, weather, digital -> [corruptions] -> evaluation
Axes:    image_u8 [H, W, 3] RGB.
Units:   uint8 in 0..255; severity 1 to 5; lengths as the source has them at a short side of 224.
Errors:  ValueError for a name, severity, seed or picture that does not fit.
Source:  the corruptions of ImageNet-C, arXiv:1903.12261, with the constants of its released code.
         Which 18 of them: arXiv:2304.14674 and arXiv:2408.04593, see docs/robustness.md.
Differs: any size of picture; rounds to the nearest value where the source cuts off; more in the
         modules of the single corruptions.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgjax.robustness import blurs, digital, fields, noises, weather

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE_SIDE = 224  # pixels; ImageNet-C was made at this size


@dataclass(frozen=True)
class Corruption:
    """`apply(image, level, rng, scale)` on float64 in 0..1, and its constants, mildest first."""

    group: str
    apply: Callable[[np.ndarray, Any, np.random.Generator, float], np.ndarray]
    levels: Sequence[Any]


CORRUPTIONS = {
    "gaussian_noise": Corruption("noise", noises.gaussian_noise, noises.GAUSSIAN),
    "shot_noise": Corruption("noise", noises.shot_noise, noises.SHOT),
    "impulse_noise": Corruption("noise", noises.impulse_noise, noises.IMPULSE),
    "speckle_noise": Corruption("noise", noises.speckle_noise, noises.SPECKLE),
    "defocus_blur": Corruption("blur", blurs.defocus_blur, blurs.DEFOCUS),
    "glass_blur": Corruption("blur", blurs.glass_blur, blurs.GLASS),
    "motion_blur": Corruption("blur", blurs.motion_blur, blurs.MOTION),
    "zoom_blur": Corruption("blur", blurs.zoom_blur, blurs.ZOOM),
    "gaussian_blur": Corruption("blur", blurs.gaussian_blur, blurs.GAUSSIAN),
    "snow": Corruption("weather", weather.snow, weather.SNOW),
    "frost": Corruption("weather", weather.frost, weather.FROST),
    "fog": Corruption("weather", weather.fog, weather.FOG),
    "brightness": Corruption("weather", weather.brightness, weather.BRIGHTNESS),
    "spatter": Corruption("weather", weather.spatter, weather.SPATTER),
    "contrast": Corruption("digital", digital.contrast, digital.CONTRAST),
    "pixelate": Corruption("digital", digital.pixelate, digital.PIXELATE),
    "jpeg_compression": Corruption("digital", digital.jpeg_compression, digital.JPEG),
    "saturate": Corruption("digital", digital.saturate, digital.SATURATE),
}


def check_picture(image_u8: np.ndarray, name: str, names: Sequence[str], severity: int) -> None:
    """Refuses what no corruption takes."""
    if name not in names:
        raise ValueError(f"corruption {name!r} is unknown; there are {', '.join(names)}.")
    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected 1 to 5, found {severity!r}.")
    fits = image_u8.ndim == 3 and image_u8.shape[-1] == 3 and 0 not in image_u8.shape
    if not fits or image_u8.dtype != np.uint8:
        raise ValueError(
            f"image_u8: expected uint8[H, W, 3], found {image_u8.dtype}{list(image_u8.shape)}."
        )


def generator(name: str, seed: int | Sequence[int]) -> np.random.Generator:
    """A stream of its own for each name and seed, the same for every severity."""
    numbers = tuple(seed) if isinstance(seed, Sequence) else (seed,)
    if not numbers or any(not isinstance(n, (int, np.integer)) or n < 0 for n in numbers):
        raise ValueError(f"seed: expected whole numbers from 0, found {seed!r}.")
    return np.random.default_rng([zlib.crc32(name.encode()), *map(int, numbers)])


def corrupt(
    image_u8: np.ndarray,
    name: str,
    severity: int,
    seed: int | Sequence[int] = 0,
    reference_side: int | None = REFERENCE_SIDE,
) -> np.ndarray:
    """A corrupted copy of a picture, uint8 [H, W, 3].

    The same arguments give the same bytes; another severity gives the same drops or clouds, worse.
    For a film pass `seed=(seed, frame_index)`, or one number for a pattern that stays on the lens.

    All lengths are those of ImageNet-C times min(H, W) / `reference_side`, so a picture of any size
    looks as damaged as one of 224 pixels; None takes them in pixels as they stand, which is far
    milder on large pictures.
    """
    check_picture(image_u8, name, tuple(CORRUPTIONS), severity)
    if reference_side is not None and reference_side < 1:
        raise ValueError(f"reference_side: expected pixels or None, found {reference_side}.")
    corruption = CORRUPTIONS[name]
    scale = min(image_u8.shape[:2]) / reference_side if reference_side else 1.0
    level = corruption.levels[severity - 1]
    image = corruption.apply(image_u8 / 255, level, generator(name, seed), scale)
    return fields.rounded(image)
