"""Prompts from the truth, masks from a model, and how they overlap, task by task.

Path:    robustness_cases -> [regions -> image_masks, video_masks -> frame_areas] -> robustness_run
Axes:    masks bool (H, W); frames uint8 (T, H, W, 3).
Units:   points_xy and box_xyxy in pixels of the frame, a box with its last pixel included.
Errors:  those of the model.
Source:  arXiv:2408.04593: one point or a box of every image, one point of the first frame of a
         video; for instruments as one class, their parts, and their types.
Differs: where that paper puts its point and which mask it takes we do not know. Here the point is
         the deepest pixel, and for a point the best of three masks by the model's own estimate.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from surgjax.evaluation.prompting import tight_box
from surgjax.evaluation.robustness_cases import Labelled
from surgjax.evaluation.segmenter import Prompt, Segmenter
from surgjax.metrics.label_maps import IGNORED, Areas, FrameAreas, labels_of
from surgjax.prompts.clicks import center_click

OBJECTS_AT_ONCE = 8  # in one pass over a video
WHOLE = 0


class Region(NamedTuple):
    """What carries one prompt: an instance, or one part of it."""

    instance: int
    part: int = WHOLE


Masks = Mapping[Region, np.ndarray]


class ImageModel(Protocol):
    """What an image is scored with: SAM 2's calls."""

    def set_image(self, image: Any) -> None: ...

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


def regions(labelled: Labelled, tasks: Sequence[str]) -> dict[Region, np.ndarray]:
    """Every instance and part that shows a pixel, with its mask."""
    found = {}
    for instance in sorted(labels_of(labelled.instances) - {0, IGNORED}):
        mask = labelled.instances == instance
        if "binary" in tasks or "type" in tasks:
            found[Region(instance)] = mask
        if "parts" in tasks and labelled.parts is not None:
            within = np.where(mask, labelled.parts, np.uint8(0))
            for part in sorted(labels_of(within) - {0}):
                found[Region(instance, part)] = within == part
    return found


def label_of(region: Region, task: str, types: Mapping[int, int]) -> int | None:
    """The label that a region has in a task; None if it has no place there."""
    if task == "parts":
        return region.part or None
    if region.part:
        return None
    return 1 if task == "binary" else types.get(region.instance)


def _unions(masks: Masks, task: str, types: Mapping[int, int]) -> dict[int, np.ndarray]:
    unions: dict[int, np.ndarray] = {}
    for region, mask in masks.items():
        label = label_of(region, task, types)
        if label is not None:
            unions[label] = unions[label] | mask if label in unions else mask
    return unions


def frame_areas(
    found: Masks, labelled: Labelled, task: str, types: Mapping[int, int]
) -> FrameAreas:
    """Areas of every label that truth or prediction shows; masks of one label are joined."""
    scored = labelled.instances != IGNORED
    truth = _unions(regions(labelled, (task,)), task, types)
    masks = _unions(found, task, types)
    nothing = np.zeros(scored.shape, bool)
    areas = {}
    for label in sorted(truth.keys() | masks.keys()):
        mask, target = masks.get(label, nothing) & scored, truth.get(label, nothing)
        shared, found_area, true_area = (int(m.sum()) for m in (mask & target, mask, target))
        if found_area or true_area:
            areas[label] = Areas(shared, found_area, true_area)
    return areas


def point_of(mask: np.ndarray) -> np.ndarray:
    """float32 x, y of the deepest pixel."""
    return center_click(None, mask)[0]


def image_masks(model: ImageModel, wanted: Masks, mode: str) -> dict[Region, np.ndarray]:
    """Masks for prompts from `wanted` on the image that was set; mode is point or box."""
    truths = list(wanted.values())
    if mode == "box":
        masks, ious, _ = model.predict(
            box=np.stack([tight_box(mask) for mask in truths]), multimask_output=False
        )
    else:
        points = np.stack([point_of(mask) for mask in truths])[:, None]
        masks, ious, _ = model.predict(points, np.ones(points.shape[:2], int))
    best = ious.argmax(-1)
    return {region: masks[row, best[row]] for row, region in enumerate(wanted)}


def first_points(frames: Sequence[Masks]) -> dict[Region, tuple[int, np.ndarray]]:
    """Where and when each region is prompted: on the first frame that shows it."""
    points = {}
    for frame, masks in enumerate(frames):
        for region, mask in masks.items():
            if region not in points:
                points[region] = frame, point_of(mask)
    return points


def video_masks(
    segmenter: Segmenter, frames_u8: np.ndarray, points: Mapping[Region, tuple[int, np.ndarray]]
) -> Iterator[tuple[int, dict[Region, np.ndarray]]]:
    """Masks of a few regions at a time, frame by frame from the first prompt on.

    A frame comes once for every group of OBJECTS_AT_ONCE regions.
    """
    listed = list(points.items())
    for start in range(0, len(listed), OBJECTS_AT_ONCE):
        group = listed[start : start + OBJECTS_AT_ONCE]
        tracking = segmenter.open(frames_u8)
        try:
            for number, (_, (frame, xy)) in enumerate(group, 1):
                tracking.prompt(frame, number, Prompt(points_xy=xy[None], labels=np.ones(1, int)))
            first = min(frame for _, (frame, _) in group)
            for frame, masks in tracking.propagate(first):
                yield frame, {region: masks[n] for n, (region, _) in enumerate(group, 1)}
        finally:
            tracking.close()
