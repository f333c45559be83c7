"""Reads what the user supplies: one background frame, and instruments cut out of labelled frames.

Path:    files -> [cutouts] -> augmentations, compose
Axes:    image [H, W, 3] RGB uint8; mask [H, W] bool, of the same size as the image.
Units:   pixels; areas as a share of the image.
Errors:  ValueError naming the file: unreadable, no labels, another size, or nothing large enough.
Source:  Wang et al., arXiv:2206.11804.
Differs: the paper cuts out the instruments of a frame together, as one foreground. Here every label
         of a frame is a cut-out of its own, so that instances and categories are known.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

MASK_SUFFIX = "_mask.png"
_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Cutout:
    """One labelled instrument in the frame it came from."""

    image: np.ndarray
    mask: np.ndarray
    label: int  # the value in the mask file, kept as the category
    name: str  # where it is from, for messages and records


def read_background(path: str | Path) -> np.ndarray:
    """An RGB frame [H, W, 3] uint8 that shows tissue alone."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"background {path}: it is missing or no image that can be read.")
    return pixels[..., ::-1].copy()


def read_cutouts(
    folder: str | Path, labels: Mapping[int, str] | None = None, min_area: float = 0.005
) -> list[Cutout]:
    """Every label of every `X_mask.png` in the folder, cut out of the frame `X.jpg` beside it.

    labels: the values to take, with their names; by default every value but 0. A label that covers
    less than `min_area` of its frame is left out.
    """
    found = Path(folder).glob(f"*{MASK_SUFFIX}")
    paths = sorted(path for path in found if not path.name.startswith("."))  # ._ files of a Mac
    if not paths:
        raise ValueError(f"cut-outs {folder}: no *{MASK_SUFFIX} found.")
    found = []
    for path in paths:
        image, label_map = _read_pair(path)
        for label in np.unique(label_map[label_map > 0]).tolist():
            mask = label_map == label
            if (labels is None or label in labels) and mask.mean() >= min_area:
                name = f"{path.name.removesuffix(MASK_SUFFIX)}:{(labels or {}).get(label, label)}"
                found.append(Cutout(image, mask, int(label), name))
    if not found:
        wanted = "any label" if labels is None else f"labels {sorted(labels)}"
        raise ValueError(f"cut-outs {folder}: {wanted} on at least {min_area:.1%} of a frame.")
    return found


def _read_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    label_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if label_map is None or label_map.ndim != 2:
        raise ValueError(f"mask {path}: a single-channel image expected.")
    stem = path.name.removesuffix(MASK_SUFFIX)
    for suffix in _FRAME_SUFFIXES:
        frame = path.with_name(stem + suffix)
        if frame.exists():
            image = read_background(frame)
            if image.shape[:2] != label_map.shape:
                raise ValueError(
                    f"mask {path}: {label_map.shape[1]}x{label_map.shape[0]} pixels, its frame "
                    f"has {image.shape[1]}x{image.shape[0]}."
                )
            return image, label_map
    raise ValueError(f"mask {path}: no frame {stem}{{{','.join(_FRAME_SUFFIXES)}}} beside it.")
