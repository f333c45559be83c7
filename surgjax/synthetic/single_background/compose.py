"""Composes images and pseudo-videos from one background and a few instrument cut-outs.

Path:    cutouts, augmentations, blending -> [compose] -> build, training
Axes:    frames_u8 [T, S, S, 3] RGB; label_maps [T, S, S] uint8: 0 background, 1..n instruments in
         the order they were laid down.
Units:   pixels of the result; T = 1 for an image.
Errors:  ValueError naming the option, or if no cut-out stays in view.
Source:  Wang et al., arXiv:2206.11804: pools of variants, one or two tools (80 / 20), blending.
Differs: instances are told apart (the paper's masks are binary: `label_maps > 0`); cut edges stay
         at a border; pseudo-videos are ours: the tools swing around their pose over a still
         background that shakes a little.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from surgjax.synthetic.single_background.augmentations import (
    BackgroundRanges,
    InstrumentRanges,
    anchor_shift,
    augment_background,
    cut_edge,
    draw_pose,
    warp_cutout,
)
from surgjax.synthetic.single_background.blending import BLENDINGS
from surgjax.synthetic.single_background.cutouts import Cutout

_ATTEMPTS = 30


@dataclasses.dataclass(frozen=True)
class SingleBackgroundConfig:
    """What the generator draws from."""

    size: int = 256  # side of the result in pixels
    variants: int = 50  # of the background
    share: float = 0.4  # of the variants that are used at all
    p_two: float = 0.2  # two instruments instead of one
    blendings: tuple[str, ...] = ("paste",)
    min_area: float = 0.01  # of the image that every instrument must show
    background: BackgroundRanges = BackgroundRanges()
    instrument: InstrumentRanges = InstrumentRanges()
    swing: float = 0.06  # of the side: how far a tool moves in a pseudo-video
    turn: float = 8.0  # degrees
    shake: float = 0.01  # of the side: how far the background moves

    def __post_init__(self):
        unknown = sorted(set(self.blendings) - BLENDINGS.keys())
        if unknown or not self.blendings:
            raise ValueError(f"blendings {self.blendings}: some of {sorted(BLENDINGS)} expected.")
        if self.size < 32 or self.variants < 1 or not 0 < self.share <= 1:
            raise ValueError(
                "size of 32 or more, variants of 1 or more and a share in (0, 1] expected, found "
                f"{self.size}, {self.variants}, {self.share}."
            )


@dataclasses.dataclass(frozen=True)
class Composition:
    """An image or a pseudo-video with its truth."""

    frames_u8: np.ndarray
    label_maps: np.ndarray
    categories: tuple[int, ...]  # of instruments 1..n: the label of their cut-out
    sources: tuple[str, ...]
    blending: str


class SingleBackground:
    """A generator over one background and some cut-outs; item i depends on the seed and i alone."""

    def __init__(
        self,
        background: np.ndarray,
        cutouts: Sequence[Cutout],
        config: SingleBackgroundConfig | None = None,
        seed: int = 0,
    ):
        if not cutouts:
            raise ValueError("at least one cut-out is needed.")
        self.config = config or SingleBackgroundConfig()
        self.cutouts, self.seed = tuple(cutouts), seed
        rng = np.random.default_rng((seed, 0))
        c = self.config
        pool = [
            augment_background(rng, background, c.size, c.background) for _ in range(c.variants)
        ]
        chosen = rng.permutation(c.variants)[: max(1, round(c.share * c.variants))]
        self.backgrounds = [pool[i] for i in chosen]

    def image(self, index: int) -> Composition:
        """One image (T = 1)."""
        return self.clip(index, 1)

    def clip(self, index: int, num_frames: int) -> Composition:
        """A pseudo-video; its first frame is not the image of the same index."""
        if index < 0 or num_frames < 1:
            raise ValueError(
                f"index >= 0 and num_frames >= 1 expected, found {index}, {num_frames}"
            )
        rng = np.random.default_rng((self.seed, 1, num_frames, index))
        for _ in range(_ATTEMPTS):
            made = self._draw(rng, num_frames)
            if made is not None:
                return made
        raise ValueError(
            f"item {index}: no draw of {_ATTEMPTS} shows its instruments on "
            f"{self.config.min_area:.1%} of the image; are the cut-outs large enough?"
        )

    def _draw(self, rng: np.random.Generator, num_frames: int) -> Composition | None:
        c = self.config
        count = min(len(self.cutouts), 2 if rng.random() < c.p_two else 1)
        picked = [self.cutouts[i] for i in rng.permutation(len(self.cutouts))[:count]]
        name = str(rng.choice(np.array(c.blendings)))
        background = self.backgrounds[rng.integers(len(self.backgrounds))]
        moves = [_Move(rng, cutout, num_frames, c) for cutout in picked]
        shake = _path(rng, num_frames, c.shake * c.size)
        frames = np.empty((num_frames, c.size, c.size, 3), np.uint8)
        labels = np.zeros((num_frames, c.size, c.size), np.uint8)
        for t in range(num_frames):
            matrix = np.array([[1, 0, shake[t, 0]], [0, 1, shake[t, 1]]], np.float32)
            frames[t] = background
            if num_frames > 1:
                frames[t] = cv2.warpAffine(
                    background, matrix, (c.size, c.size), borderMode=cv2.BORDER_REFLECT_101
                )
            for k, move in enumerate(moves, 1):
                image, mask = move.at(t)
                frames[t] = BLENDINGS[name](frames[t], image, mask)
                labels[t][mask] = k
        shown = [(labels == k).mean((1, 2)) for k in range(1, count + 1)]
        if any(area[0] < c.min_area for area in shown):
            return None
        return Composition(
            frames,
            labels,
            tuple(cutout.label for cutout in picked),
            tuple(cutout.name for cutout in picked),
            name,
        )


def _path(rng: np.random.Generator, num_frames: int, reach: float) -> np.ndarray:
    """A smooth closed path [T, 2] that starts at 0: two slow waves an axis."""
    time = np.arange(num_frames)[:, None]
    path = np.zeros((num_frames, 2))
    for period in (16.0, 37.0):
        phase = rng.uniform(0, 2 * np.pi, (1, 2))
        wave = np.sin(2 * np.pi * time / period + phase)
        path += 0.5 * reach * (wave - wave[:1])
    return path


class _Move:
    """One instrument over time."""

    def __init__(self, rng, cutout: Cutout, num_frames: int, config: SingleBackgroundConfig):
        self._cutout, self._side = cutout, config.size
        self._pose = draw_pose(rng, config.size, config.instrument)
        self._edge = cut_edge(cutout.mask)
        self._anchor = config.instrument.anchor
        self._shift = _path(rng, num_frames, config.swing)
        self._turn = _path(rng, num_frames, config.turn)[:, 0]

    def at(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of the instrument on frame t."""
        x, y = self._pose.shift
        pose = dataclasses.replace(
            self._pose,
            shift=(x + self._shift[t, 0], y + self._shift[t, 1]),
            rotation=self._pose.rotation + self._turn[t],
        )
        cutout = self._cutout
        matrix = pose.matrix(cutout.mask.shape, self._side)
        if self._anchor:
            matrix = anchor_shift(self._edge, matrix, self._side) @ matrix
        return warp_cutout(cutout.image, cutout.mask, matrix, self._side)
