"""Independent augmentation of the background and of an instrument, before they are blended.

Path:    cutouts -> [augmentations] -> compose
Axes:    images [H, W, 3] uint8, masks [H, W] bool; results are S x S.
Units:   shares of the side unless a name says `_px`; angles in degrees.
Source:  Wang et al., arXiv:2206.11804, for the kinds and the ranges.
Differs: an instrument cut at the border of its frame is moved until that cut edge lies at a border
         of the result again (`anchor`); in the paper tools may float with a straight cut end.
"""

import dataclasses

import cv2
import numpy as np

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class BackgroundRanges:
    """How the one background is varied; p_* are probabilities."""

    p_flip: float = 0.5  # of each axis
    crop: Range = (0.0, 0.25)
    hue: float = 12.0  # OpenCV's half degrees, either way
    saturation: Range = (0.7, 1.3)
    contrast: Range = (0.75, 1.25)
    brightness: Range = (0.8, 1.2)
    p_perspective: float = 0.5
    perspective: Range = (0.0, 0.15)
    p_hole: float = 0.3  # a rectangle filled with noise around the image's own mean
    hole: Range = (0.05, 0.2)
    p_pad: float = 0.1
    pad: Range = (0.02, 0.1)


@dataclasses.dataclass(frozen=True)
class InstrumentRanges:
    """How a cut-out is moved; it is never recoloured, so that its looks stay real."""

    p_flip: float = 0.5
    scale: Range = (0.9, 1.1)
    shift: float = 0.1  # either way
    rotation: float = 45.0  # degrees, either way
    p_perspective: float = 0.5
    perspective: Range = (0.1, 0.2)
    anchor: bool = True


def _perspective(rng: np.random.Generator, side: int, strength: float) -> np.ndarray:
    """A 3x3 map that pulls the corners inwards by up to `strength` of the side."""
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    moved = corners + inwards * rng.uniform(0, strength * side, (4, 2)).astype(np.float32)
    return cv2.getPerspectiveTransform(moved, corners)


def augment_background(
    rng: np.random.Generator, image: np.ndarray, side: int, ranges: BackgroundRanges
) -> np.ndarray:
    """One variant of the background, [side, side, 3]."""
    height, width = image.shape[:2]
    keep = 1 - rng.uniform(*ranges.crop)
    h, w = max(2, round(keep * height)), max(2, round(keep * width))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    out = cv2.resize(image[y : y + h, x : x + w], (side, side), interpolation=cv2.INTER_AREA)
    for axis in (0, 1):
        if rng.random() < ranges.p_flip:
            out = np.flip(out, axis)
    if rng.random() < ranges.p_perspective:
        matrix = _perspective(rng, side, rng.uniform(*ranges.perspective))
        out = cv2.warpPerspective(
            np.ascontiguousarray(out), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
        )
    hsv = cv2.cvtColor(np.ascontiguousarray(out), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-ranges.hue, ranges.hue)) % 180
    hsv[..., 1] *= rng.uniform(*ranges.saturation)
    out = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    mean = out.mean()
    curve = (np.arange(256) - mean) * rng.uniform(*ranges.contrast) + mean
    curve = curve * rng.uniform(*ranges.brightness)
    out = np.clip(curve + 0.5, 0, 255).astype(np.uint8)[out]
    if rng.random() < ranges.p_hole:
        _fill_hole(rng, out, ranges)
    if rng.random() < ranges.p_pad:
        edge = round(rng.uniform(*ranges.pad) * side)
        inner = cv2.resize(out, (side - 2 * edge,) * 2, interpolation=cv2.INTER_AREA)
        out = cv2.copyMakeBorder(inner, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
    return out


def _fill_hole(rng: np.random.Generator, out: np.ndarray, ranges: BackgroundRanges) -> None:
    side = len(out)
    h, w = (max(1, round(rng.uniform(*ranges.hole) * side)) for _ in range(2))
    y, x = rng.integers(0, side - h + 1), rng.integers(0, side - w + 1)
    noise = rng.normal(out.mean((0, 1)), out.std((0, 1)) + 1, (h, w, 3))
    out[y : y + h, x : x + w] = np.clip(noise, 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Pose:
    """One draw of how a cut-out lies in the result; a pseudo-video moves it a little."""

    flip_x: bool
    flip_y: bool
    scale: float
    shift: tuple[float, float]
    rotation: float
    warp: np.ndarray  # [3, 3], pixels of the result

    def matrix(self, shape: tuple[int, int], side: int) -> np.ndarray:
        """3x3 map from pixels of the cut-out's frame to pixels of the result."""
        height, width = shape
        fit = side / max(height, width)  # the aspect ratio is kept
        centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
        size = np.diag([fit * self.scale * (-1 if self.flip_x else 1),
                        fit * self.scale * (-1 if self.flip_y else 1), 1.0])  # fmt: skip
        angle = np.deg2rad(self.rotation)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        x, y = ((0.5 + s) * side for s in self.shift)
        place = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
        return self.warp @ place @ turn @ size @ centre


def draw_pose(rng: np.random.Generator, side: int, ranges: InstrumentRanges) -> Pose:
    warp = np.eye(3)
    if rng.random() < ranges.p_perspective:
        warp = _perspective(rng, side, rng.uniform(*ranges.perspective))
    return Pose(
        flip_x=bool(rng.random() < ranges.p_flip),
        flip_y=bool(rng.random() < ranges.p_flip),
        scale=float(rng.uniform(*ranges.scale)),
        shift=(float(rng.uniform(-1, 1) * ranges.shift), float(rng.uniform(-1, 1) * ranges.shift)),
        rotation=float(rng.uniform(-1, 1) * ranges.rotation),
        warp=warp,
    )


def cut_edge(mask: np.ndarray, reach: float = 0.06) -> np.ndarray:
    """Pixels x, y [n, 2] where the mask ends at a border of its frame, and the instrument goes on.

    Masks often stop a little before the border (a black rim, a coarse outline), so an end within
    `reach` of it, as a share of the frame's side, counts too.
    """
    height, width = mask.shape
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    at_end = np.zeros_like(mask)
    if top <= reach * height:
        at_end[top : top + 2] = True
    if height - 1 - bottom <= reach * height:
        at_end[bottom - 1 : bottom + 1] = True
    if left <= reach * width:
        at_end[:, left : left + 2] = True
    if width - 1 - right <= reach * width:
        at_end[:, right - 1 : right + 1] = True
    y, x = np.nonzero(mask & at_end)
    return np.stack([x, y], -1).astype(np.float64)


def anchor_shift(edge: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """3x3 shift that takes the cut edge to the nearest border of the result, or past it."""
    if not len(edge):
        return np.eye(3)
    moved = cv2.perspectiveTransform(edge[:, None], matrix)[:, 0]
    needed = {  # how far each side's border is from the innermost pixel of the edge
        (-1, 0): moved[:, 0].max(),
        (1, 0): side - 1 - moved[:, 0].min(),
        (0, -1): moved[:, 1].max(),
        (0, 1): side - 1 - moved[:, 1].min(),
    }
    (dx, dy), distance = min(needed.items(), key=lambda item: item[1])
    distance = max(0.0, distance)
    return np.array([[1, 0, dx * distance], [0, 1, dy * distance], [0, 0, 1]])


def warp_cutout(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image [side, side, 3] and mask [side, side] of a cut-out under a 3x3 map."""
    moved = cv2.warpPerspective(
        image, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    covered = cv2.warpPerspective(mask.astype(np.uint8) * 255, matrix, (side, side))
    return moved, covered >= 128
