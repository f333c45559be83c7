"""Brightness, contrast, saturation and grey, in random order, in few passes over the pixels.

Path:    [colour_jitter] -> augment
Axes:    frame [H, W, 3] uint8 RGB; a map is 4x4, acting on (R, G, B, 1).
Units:   factors: 1 leaves the frame, 0 gives black, the mean grey, or grey pixels.
Errors:  ValueError for a strength outside 0..1.
Source:  torchvision's ColorJitter (the order of the changes is drawn, factors are uniform in 1 -+
         strength) on Pillow images: blends with black, with the mean of the grey frame, with the
         grey frame; grey is 0.299 R + 0.587 G + 0.114 B.
Differs: Pillow truncates to whole levels after every change. Each change is an affine map of the
         colour, and one with a factor up to 1 cannot leave 0..255, so such maps are joined and
         rounded once. Values differ from Pillow's by a few levels at most.
"""

import dataclasses

import cv2
import numpy as np

_GREY = np.array([0.299, 0.587, 0.114])
BRIGHTNESS, CONTRAST, SATURATION = range(3)


@dataclasses.dataclass(frozen=True)
class Jitter:
    """Strengths: factors are drawn from 1 - strength to 1 + strength."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"Jitter.{field.name}: expected 0..1, found {value}.")

    def draw(self, rng: np.random.Generator) -> list[tuple[int, float]]:
        """Changes in the order in which they apply: (what, factor)."""
        strengths = (self.brightness, self.contrast, self.saturation)
        factors = [1 + strength * rng.uniform(-1, 1) for strength in strengths]
        return [(int(what), factors[what]) for what in rng.permutation(3) if strengths[what]]


class ColourChain:
    """A frame and the changes that have not been applied to its pixels yet."""

    def __init__(self, frame_u8: np.ndarray):
        self._frame = frame_u8
        self._mean: np.ndarray | None = None  # of the frame's pixels: R, G, B, 1
        self._pending: np.ndarray | None = None  # [4, 4]
        self._may_clip = False

    def change(self, what: int, factor: float) -> None:
        """Blends with black, mean grey or grey: factor x + (1 - factor) other."""
        if self._may_clip:  # the next change sees clipped values
            self._apply()
        matrix = np.diag((factor, factor, factor, 1.0))
        if what == CONTRAST:
            matrix[:3, 3] = (1 - factor) * self._mean_grey()
        elif what == SATURATION:
            matrix[:3, :3] += (1 - factor) * _GREY
        self._pending = matrix if self._pending is None else matrix @ self._pending
        self._may_clip = factor > 1

    def make_grey(self) -> None:
        self.change(SATURATION, 0.0)

    def result(self, out: np.ndarray) -> None:
        """Writes the changed frame to `out` [H, W, 3]."""
        if self._pending is None:
            np.copyto(out, self._frame)
        else:
            cv2.transform(self._frame, self._pending[:3], dst=out)

    def _apply(self) -> None:
        assert self._pending is not None
        self._frame = cv2.transform(self._frame, self._pending[:3])
        self._pending, self._mean, self._may_clip = None, None, False

    def _mean_grey(self) -> float:
        if self._mean is None:
            self._mean = np.array([*cv2.mean(self._frame)[:3], 1.0])
        mean = self._mean if self._pending is None else self._pending @ self._mean
        return float(_GREY @ mean[:3])
