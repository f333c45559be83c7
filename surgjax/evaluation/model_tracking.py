"""A model on one video: simulated prompts, tracking, masks on disk.

Path:    LabelledVideo, Truth, Segmenter -> [track_video] -> predicted_masks, prompted frames
Axes:    masks bool (H, W).
Units:   frames count from 0.
Errors:  ValueError for a kind of prompt that is not known; what the model raises.
Source:  SAM 2's tools/vos_inference.py: the first mask of each object, also of one that appears
         later (--track_object_appearing_later_in_video), or with --use_all_masks every mask.
Differs: there objects that appear later are tracked one by one and merged; here they join a
         running propagation, and have no mask before their first prompt. Without these switches
         the script leaves out objects that the first frame lacks; we never do.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from surgjax.evaluation.interactive import Offline, Online
from surgjax.evaluation.labelled_videos import LabelledVideo, Truth
from surgjax.evaluation.predicted_masks import PredictedMasks
from surgjax.evaluation.prompted_run import Start
from surgjax.evaluation.prompting import KINDS, clicks_of, first_prompt
from surgjax.evaluation.segmenter import Segmenter
from surgjax.inference.frame_source import FrameSource

Prompted = dict[int, list[int]]  # object id -> the frames on which it was prompted
ROUNDS = ("offline", "online")
_OF_ROUNDS = ("start", "rounds", "clicks", "threshold")  # the last for online only


@dataclasses.dataclass(frozen=True)
class PromptOptions:
    """What the model is told."""

    kind: str = "mask"  # or box, 1-click, 3-click, 5-click: on the first frame that shows an object
    use_all_masks: bool = False  # on every annotated frame that shows it
    # Kinds offline and online: a simulated user corrects the masks; see `interactive`.
    start: str = "3-click"  # on the first frame that shows an object
    rounds: int = 8  # passes (offline), or prompted frames of each object at most (online)
    clicks: int = 3  # on each corrected frame, at most
    threshold: float = 0.75  # of IoU, below which the user stops (online)

    def check(self) -> None:
        """Refuses what no prompt is, and what would be ignored without a word."""
        _check_kind("--prompts", self.kind, (*KINDS, *ROUNDS))
        _check_kind("--start", self.start, KINDS)
        if self.use_all_masks and self.kind != "mask":
            raise ValueError(f"--use_all_masks: prompts are {self.kind!r}, not masks.")
        used = {"offline": _OF_ROUNDS[:-1], "online": _OF_ROUNDS}.get(self.kind, ())
        for field in dataclasses.fields(self):
            if field.name in set(_OF_ROUNDS) - set(used):
                if (value := getattr(self, field.name)) != field.default:
                    raise ValueError(f"--{field.name} {value}: --prompts {self.kind} has no such.")
        for name in ("rounds", "clicks"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: 1 or more expected.")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold {self.threshold}: an IoU, 0 to 1, expected.")

    def corrections(self, preset: str) -> Offline | Online | None:
        """The interactive protocol; None for objects that are prompted once."""
        if self.kind not in ROUNDS:
            return None
        start = Start(self.start, preset, together=True)
        if self.kind == "offline":
            return Offline(start, self.rounds, self.clicks)
        return Online(start, self.threshold, self.rounds, self.clicks)

    def identity(self, preset: str) -> dict[str, Any]:
        """What masks depend on; of rounds also the preset, which decides who may start late."""
        if self.kind not in ROUNDS:
            return {"kind": self.kind, "use_all_masks": self.use_all_masks}
        names = ["kind", "start", "rounds", "clicks"] + ["threshold"] * (self.kind == "online")
        return {name: getattr(self, name) for name in names} | {"preset": preset}

    def stated(self) -> str:
        """The prompt source, for every report."""
        if self.kind in ROUNDS:
            what = f"{self.start} at first, up to {self.clicks} clicks on each corrected frame"
            return f"simulated from ground truth, {self.kind}: {what}, {self.rounds} rounds at most"
        if self.use_all_masks:
            return "ground truth mask on every annotated frame"
        what = {"mask": "mask", "box": "box around its mask"}.get(self.kind, self.kind)
        return f"ground truth: {what} on each object's first visible frame"


def _check_kind(flag: str, kind: str, known: tuple[str, ...]) -> None:
    if kind in known:
        return
    try:
        clicks_of(kind)
    except ValueError:
        raise ValueError(
            f"{flag} {kind}: expected one of {', '.join(known)}, or another number of clicks, as "
            "2-click."
        ) from None


def prompted_frames(truth: Truth, options: PromptOptions) -> Prompted:
    """Where each object is prompted."""
    return {
        object_id: list(places if options.use_all_masks else places[:1])
        for object_id, places in truth.shown.items()
    }


def track_video(
    segmenter: Segmenter,
    video: LabelledVideo,
    truth: Truth,
    source: FrameSource,
    options: PromptOptions,
    masks: PredictedMasks,
    tracked: Callable[[], None] = lambda: None,
) -> Prompted:
    """Prompts, propagates forward from the first prompt, writes. Returns the prompted frames."""
    prompted = prompted_frames(truth, options)
    places = sorted((frame, object_id) for object_id in prompted for frame in prompted[object_id])
    tracking = segmenter.open(source)
    try:
        for frame, object_id in places:  # by frame: a model may keep the features of the last one
            target, ignored = truth.target(object_id, frame)
            first_prompt(
                options.kind,
                target,
                lambda prompt, f=frame, i=object_id: tracking.prompt(f, i, prompt),
                ignored,
            )
        for frame, found in tracking.propagate(places[0][0]):
            masks.add(frame, _begun(found, prompted, frame))
            tracked()
    finally:
        tracking.close()
    masks.finish()
    return prompted


def _begun(found: Mapping, prompted: Prompted, frame: int) -> dict:
    """Without objects whose first prompt lies ahead: another model may give them a mask already."""
    return {i: mask for i, mask in found.items() if min(prompted[i]) <= frame}
