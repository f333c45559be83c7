"""Prompts made from the truth: where an object starts, and what is said about it there.

Path:    targets, a model's answers -> [prompting] -> Prompt -> semi-supervised and interactive runs
Axes:    targets and masks bool [H, W], one object on one frame.
Units:   points and boxes in pixels, a box with its last pixel included; areas as a share of the
         frame.
Errors:  ValueError for a kind of prompt that is not known, or a target without the object.
Source:  SAM 2, arXiv:2408.00714: the first click at the centre of the object, each further one in
         the middle of the largest error that is left.
Differs: the paper does not say how ties are broken; `surgjax.prompts.clicks.center_click` does: of
         equally deep pixels the first in row-major order, of equally deep errors the surplus.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from surgjax.evaluation.segmenter import Prompt
from surgjax.prompts.clicks import center_click

KINDS = ("1-click", "3-click", "5-click", "box", "mask")  # and any other number of clicks

Ask = Callable[[Prompt], np.ndarray]  # hands a prompt to the model, returns its mask on that frame


class Prompted(NamedTuple):
    """What an object was told on one frame in the end, and the model's answer to it."""

    prompt: Prompt
    mask: np.ndarray  # bool [H, W]
    clicks: int  # how many were added just now


def clicks_of(kind: str) -> int:
    """How many clicks a kind of prompt has; 0 for "box" and "mask"."""
    if kind in ("box", "mask"):
        return 0
    if match := re.fullmatch(r"([1-9]\d*)-click", kind):
        return int(match[1])
    raise ValueError(
        f"prompt {kind!r}: expected one of {KINDS}, or another number of clicks, as '2-click'."
    )


def tight_box(mask: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1 of the outermost foreground columns and rows."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        raise ValueError("a box needs an object, found an empty mask.")
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def first_visible(
    target: np.ndarray | Mapping[int, np.ndarray], min_area: float = 0.0
) -> int | None:
    """The first frame that shows at least `min_area` of the object, and a pixel; None if none does.

    target: bool [T, H, W], or bool [H, W] by annotated frame.
    """
    frames = sorted(target.items()) if isinstance(target, Mapping) else enumerate(target)
    return next((t for t, mask in frames if mask.any() and mask.mean() >= min_area), None)


def first_prompt(
    kind: str, target: np.ndarray, ask: Ask, ignored: np.ndarray | None = None
) -> Prompted:
    """Names an object on a frame that shows it: by its mask, its tight box, or clicks.

    A box one pixel wide or high is given a second column or row, as a box without extent is none.
    """
    clicks = clicks_of(kind)
    if not target.any():
        raise ValueError(f"prompt {kind!r}: the target does not show the object on this frame.")
    if clicks:
        prompted = add_clicks(clicks, target, None, ask, ignored=ignored)
        assert prompted is not None  # the whole object is an error yet
        return prompted
    if kind == "mask":
        prompt = Prompt(mask=target)
    else:
        box = tight_box(target)
        box[2:] = np.maximum(box[2:], box[:2] + 1)
        prompt = Prompt(box_xyxy=box)
    return Prompted(prompt, ask(prompt), 0)


def add_clicks(
    number: int,
    target: np.ndarray,
    mask: np.ndarray | None,
    ask: Ask,
    before: Prompt | None = None,
    ignored: np.ndarray | None = None,
) -> Prompted | None:
    """Up to `number` clicks, each in the middle of the largest error of the answer so far.

    mask is the answer so far (None: none yet, the first click is at the object's deepest place).
    before is what the object was told on this frame already: its clicks and its box are handed over
    again, as a prompt replaces the one before; a mask gives way to the clicks. Pixels that are
    `ignored` (the target lies elsewhere) are no error. Ends early where no error is left; None if
    there was none at all.
    """
    points, labels, box = [], [], None
    if before is not None:
        box = before.box_xyxy
        if before.points_xy is not None and before.labels is not None:
            points, labels = list(before.points_xy), list(before.labels)
    added, prompt = 0, None
    while added < number:
        found = np.zeros_like(target) if mask is None else mask
        if ignored is not None:
            found = found & ~ignored
        if np.array_equal(found, target):
            break
        point, label = center_click(found, target)
        points.append(point)
        labels.append(label)
        prompt = Prompt(np.stack(points), np.array(labels), box)
        mask = ask(prompt)
        added += 1
    if prompt is None or mask is None:
        return None
    return Prompted(prompt, mask, added)
