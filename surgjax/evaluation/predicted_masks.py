"""The masks of one video on disk, frame by frame, under their name only when all are there.

Path:    model_tracking -> [PredictedMasks] -> masks/VIDEO/STEM.png or masks/VIDEO/ID/STEM.png
Axes:    masks are bool (H, W).
Units:   a frame is its place in the video, from 0.
Errors:  ValueError for a mask of another size or kind than the frames; OSError of a full disk.
Source:  SAM 2's tools/vos_inference.py: palette PNGs in which the smaller id wins where masks
         overlap, or with --per_obj_png_file a folder of binary PNGs for each object.
Differs: every frame and object has a file, also where nothing was tracked; our own predictor keeps
         the object with the highest logit, so its masks do not overlap.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgjax.inference.mask_writer import write_palette_png

_HIDDEN = ".unfinished-"


class PredictedMasks:
    """`add` once for each frame that was tracked, then `finish`."""

    def __init__(
        self,
        root: Path,
        video: str,
        stems: Sequence[str],
        object_ids: Sequence[int],
        size: tuple[int, int],
        per_object: bool,
    ):
        self.folder, self._work = root / video, root / f"{_HIDDEN}{video}"
        self._stems, self._ids, self._size = stems, sorted(object_ids), size
        self._per_object = per_object
        self._written: set[int] = set()
        for stale in (self._work, self.folder):  # of a run that ended in the middle
            shutil.rmtree(stale, ignore_errors=True)
        for folder in self._folders():
            folder.mkdir(parents=True)

    def _folders(self) -> list[Path]:
        if not self._per_object:
            return [self._work]
        return [self._work / f"{object_id:03d}" for object_id in self._ids]

    def add(self, frame: int, masks: Mapping[int, np.ndarray]) -> None:
        """Writes one frame; an object that `masks` lacks is not there."""
        for object_id, mask in masks.items():
            if mask.shape != self._size or mask.dtype != bool:
                raise ValueError(
                    f"frame {frame}, object {object_id}: a mask bool {self._size} expected, "
                    f"{mask.dtype} {mask.shape} found."
                )
        stem, nothing = self._stems[frame], np.zeros(self._size, np.uint8)
        if self._per_object:
            for folder, object_id in zip(self._folders(), self._ids, strict=True):
                mask = masks.get(object_id)
                values = nothing if mask is None else mask.astype(np.uint8)
                write_palette_png(folder / f"{stem}.png", values)
        else:
            for object_id in sorted(masks, reverse=True):
                nothing[masks[object_id]] = object_id
            write_palette_png(self._work / f"{stem}.png", nothing)
        self._written.add(frame)

    def finish(self) -> None:
        """Empty masks where nothing was tracked; then the folder gets its name."""
        for frame in range(len(self._stems)):
            if frame not in self._written:
                self.add(frame, {})
        self._work.rename(self.folder)
