"""Runs a tracker that `export` wrote. This file alone: it needs jax, numpy and safetensors.

Path:    folder of programs and weights -> [ExportedTracker] -> masks
Axes:    O object slots, P point slots, S side of the model input, as in tracker.json.
Units:   frames uint8 RGB [S, S, 3]; points and boxes in pixels of that frame, column first.
Errors:  ValueError naming file, key, shape or slot, what was expected and what was found.
Source:  ours, over `jax.export`.
Differs: the programs are compiled code of fixed shapes: neither the model's Python code nor its
         configuration is here, so the file may be copied beside the folder. What the functions
         take and give are dicts of arrays.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from safetensors.numpy import load_file

FORMAT = 1
INDEX, WEIGHTS, SEPARATOR = "tracker.json", "weights.safetensors", "/"
PROGRAMS = ("init", "encode", "track")

Arrays = dict[str, Any]


def nested(flat: Arrays) -> dict[str, Any]:
    """{"a/b": x} -> {"a": {"b": x}}."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(SEPARATOR)
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


class ExportedTracker:
    """One tracker; its state is a dict of arrays that goes in and comes out."""

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        try:
            self.facts = json.loads((folder / INDEX).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder / INDEX}: not an exported tracker ({error}).") from None
        if self.facts.get("format") != FORMAT:
            raise ValueError(
                f"{folder / INDEX}: format {FORMAT} expected, {self.facts.get('format')} found."
            )
        programs = {}
        for name in PROGRAMS:
            data = self._checked(folder / f"{name}.jax")
            programs[name] = jax.export.deserialize(bytearray(data))
            here, wanted = jax.default_backend(), programs[name].platforms
            if {"gpu": "cuda"}.get(here, here) not in wanted:
                raise ValueError(f"{folder / name}.jax: made for {', '.join(wanted)}, not {here}.")
        self._checked(folder / WEIGHTS)
        self._params = jax.device_put(nested(load_file(folder / WEIGHTS)))
        self._init, self._encode = (jax.jit(programs[k].call) for k in ("init", "encode"))
        self._track = jax.jit(programs["track"].call, donate_argnums=(1,))
        self.objects, self.points = self.facts["objects"], self.facts["points"]
        self.image_size = self.facts["image_size"]

    def _checked(self, path: Path) -> bytes:
        data = path.read_bytes()
        found, expected = hashlib.sha256(data).hexdigest(), self.facts["sha256"].get(path.name)
        if found != expected:
            raise ValueError(f"{path}: sha256 {expected} expected, {found} found.")
        return data

    def init(self) -> Arrays:
        """The state before the first frame."""
        return self._init()

    def encode(self, frame: np.ndarray) -> Arrays:
        """Features of a frame, uint8 [S, S, 3]; once a frame, whatever the number of objects."""
        side = self.image_size
        if frame.shape != (side, side, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame: uint8 ({side}, {side}, 3) expected, {frame.dtype} {frame.shape} found."
            )
        return self._encode(self._params, frame)

    def no_prompts(self) -> Arrays:
        """A frame on which every object that was ever prompted is tracked."""
        return {
            name: np.full(shape, fill, np.dtype(dtype))
            for name, (shape, dtype, fill) in self.facts["prompts"].items()
        }

    def add_points(self, prompts: Arrays, slot: int, xy: Any, labels: Any) -> None:
        """Clicks [n, 2] of one object with labels [n]: 1 on it, 0 beside it; 2, 3 a box's corners.

        They start it afresh on this frame.
        """
        xy, labels = np.asarray(xy, np.float32), np.asarray(labels, np.int32)
        self._check_slot(slot)
        if xy.shape != (len(labels), 2) or not 0 < len(labels) <= self.points:
            raise ValueError(
                f"points: [n, 2] with n labels expected, n from 1 to {self.points}; "
                f"{xy.shape} and {labels.shape} found."
            )
        count = len(labels)
        prompts["points.points_xy"][slot, :count] = xy
        prompts["points.labels"][slot, :count] = labels
        prompts["points.valid"][slot] = np.arange(self.points) < count

    def add_box(self, prompts: Arrays, slot: int, box_xyxy: Any) -> None:
        """A box x0, y0, x1, y1 around one object."""
        self.add_points(prompts, slot, np.reshape(box_xyxy, (2, 2)), [2, 3])

    def add_mask(self, prompts: Arrays, slot: int, mask: np.ndarray) -> None:
        """A mask [S, S] of one object."""
        self._check_slot(slot)
        if mask.shape != (self.image_size, self.image_size):
            raise ValueError(f"mask: {self.image_size} squared expected, {mask.shape} found.")
        prompts["masks"][slot], prompts["has_mask"][slot] = mask.astype(bool), True

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self.objects:
            raise ValueError(f"slot {slot}: this tracker has slots 0 to {self.objects - 1}.")

    def track(
        self, state: Arrays, features: Arrays, prompts: Arrays | None = None
    ) -> tuple[Arrays, Arrays]:
        """The next frame: the state after it, and `low_res` [O, S/4, S/4] mask logits (a mask is
        where they are above 0), `object_score` [O], `iou` [O], `ran` [O].

        The state that goes in is used up.
        """
        prompts = self.no_prompts() if prompts is None else prompts
        return self._track(self._params, state, features, prompts)
