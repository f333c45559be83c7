"""Generated clips and images with exact truth: the entry to the synthetic world.

Path:    config, stream -> [clip] -> build, training, tests, demo
Axes:    frames_u8 [T, S, S, 3] RGB uint8; label_maps and part_maps [T, S, S] uint8; O objects.
Units:   labels 0 background, 1..n objects; parts 0, 1 shaft, 2 wrist, 3 jaws; pixels, millimetres.
Errors:  ValueError for a size that is too small, no frames, a negative seed, unknown truth, or
         truth that is read without having been asked for.
"""

import dataclasses
import functools

import numpy as np

from surgjax.synthetic import expressions, tracks
from surgjax.synthetic.config import SceneConfig
from surgjax.synthetic.procedure import VERBS
from surgjax.synthetic.stream import ClipStream, Facts, acting

_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames and their truth. Objects are those that show at least one pixel somewhere.

    Depth, flow and amodal masks are None unless `generate_clip` was asked for them; what follows
    from masks and script is worked out when first read.
    """

    frames_u8: np.ndarray
    label_maps: np.ndarray
    part_maps: np.ndarray
    object_ids: tuple[int, ...]  # 1..n
    object_names: tuple[str, ...]
    object_classes: tuple[str, ...]
    seed: int
    facts: Facts
    depth_mm: np.ndarray | None = None  # [T, S, S] float32
    flow_px: np.ndarray | None = None  # [T-1, S, S, 2] float32, to the next frame
    flow_valid: np.ndarray | None = None  # [T-1, S, S] bool: in sight in both frames
    amodal_masks: np.ndarray | None = None  # [T, O, S, S] bool

    @property
    def phase_ids(self) -> np.ndarray:
        """[T] int32, an index of procedure.PHASES; -1 where there is no operation."""
        return self.facts.phase_ids

    @property
    def cuts(self) -> np.ndarray:
        """[T] bool: the frame starts a new view."""
        return self.facts.cuts

    @property
    def in_body(self) -> np.ndarray:
        """[T, O] bool: inside the patient, in sight or not."""
        return self.facts.in_body

    @functools.cached_property
    def visible(self) -> np.ndarray:
        """[T, O] bool: at least one pixel shows."""
        count = len(self.object_ids)
        rows = [np.bincount(m.ravel(), minlength=count + 1)[1:] > 0 for m in self.label_maps]
        return np.stack(rows)

    @functools.cached_property
    def boxes_xyxy(self) -> np.ndarray:
        """[T, O, 4] float32; 0 where the object does not show."""
        return np.stack([tracks.boxes_of(m, len(self.object_ids)) for m in self.label_maps])

    @functools.cached_property
    def track_ids(self) -> np.ndarray:
        """[T, O, 3] int32: visibility, intracorporeal, intraoperative; -1 while out of sight."""
        return tracks.track_ids_of(self.visible, self.in_body)

    @functools.cached_property
    def actions(self) -> tuple[np.ndarray, np.ndarray]:
        """Verb ids (-1: none) and target object ids (0: none), each [T, O] int32."""
        return acting(self.facts.verb_ids, self.facts.target_ids, self.visible)

    def triplets(self, t: int) -> list[tuple[str, str, str]]:
        """(instrument kind, verb, target) of frame t, in order of object ids."""
        verbs, targets = self.actions[0][t], self.actions[1][t]
        return [
            (self.object_classes[i], VERBS[verbs[i]], self.object_names[targets[i] - 1])
            for i in np.flatnonzero(verbs >= 0)
        ]

    @functools.cached_property
    def expressions(self) -> tuple[expressions.Expression, ...]:
        """Sentences that are true of exactly one object each; see expressions."""
        return expressions.describe(self)


def generate_clip(
    seed: int, num_frames: int = 16, size: int = 256, config=None, truth: tuple[str, ...] = ()
) -> Clip:
    """A clip of a random scene; the same arguments give the same bytes.

    `truth` names the truth in pixels to make as well: "depth", "flow", "amodal". Frames and masks
    are the same with and without.
    """
    config = config or SceneConfig()
    for attempt in range(_ATTEMPTS):  # a scene may happen to show nothing at all: draw again
        stream = ClipStream(seed, num_frames, size, config, truth, attempt)
        clip = _record(stream, seed)
        if len(clip.object_ids) >= config.min_objects:
            return clip
    raise ValueError(f"No scene of seed {seed} shows {config.min_objects} objects: {config}.")


def generate_image(seed: int, size: int = 256, config=None, truth: tuple[str, ...] = ()) -> Clip:
    """One frame of a random scene (T = 1), without the cost of motion."""
    return generate_clip(seed, 1, size, config, truth)


def _record(stream: ClipStream, seed: int) -> Clip:
    count, size, total = stream.num_frames, stream.size, len(stream.object_ids)
    arrays: dict[str, np.ndarray] = {
        "frames_u8": np.empty((count, size, size, 3), np.uint8),
        "label_maps": np.empty((count, size, size), np.uint8),
        "part_maps": np.empty((count, size, size), np.uint8),
    }
    if "depth" in stream.truth:
        arrays["depth_mm"] = np.empty((count, size, size), np.float32)
    if "amodal" in stream.truth:
        arrays["amodal_masks"] = np.empty((count, total, size, size), bool)
    if "flow" in stream.truth:
        arrays["flow_px"] = np.empty((count - 1, size, size, 2), np.float32)
        arrays["flow_valid"] = np.empty((count - 1, size, size), bool)
    singular = {name: name.removesuffix("s") for name in ("label_maps", "part_maps")}
    singular["frames_u8"] = "frame_u8"
    for t, picture in enumerate(stream.pictures()):
        for name, array in arrays.items():
            if t < len(array):
                array[t] = getattr(picture, singular.get(name, name))
    seen = np.bincount(arrays["label_maps"].ravel(), minlength=total + 1)[1:] > 0
    shown = np.flatnonzero(seen)
    table = np.zeros(256, np.uint8)
    table[shown + 1] = np.arange(1, len(shown) + 1)
    arrays["label_maps"] = table[arrays["label_maps"]]
    if "amodal_masks" in arrays:
        arrays["amodal_masks"] = arrays["amodal_masks"][:, shown]
    facts = stream.facts
    return Clip(
        object_ids=tuple(range(1, len(shown) + 1)),
        object_names=tuple(stream.object_names[i] for i in shown),
        object_classes=tuple(stream.object_classes[i] for i in shown),
        seed=seed,
        facts=dataclasses.replace(
            facts,
            in_body=facts.in_body[:, shown],
            verb_ids=facts.verb_ids[:, shown],
            target_ids=table[facts.target_ids[:, shown]].astype(np.int32),
        ),
        **arrays,
    )
