"""Keeps masks in step with what an annotator says: answers prompts, tracks what is out of date.

Path:    document -> [tracker] -> video predictor -> track_files
Axes:    one record is one object on one frame.
Units:   frame indices count decoded frames from 0; `fresh` intervals are inclusive.
Errors:  EditError where nothing is to be tracked; FrameReadError where a frame cannot be read.
Source:  ours.
Differs: SAM 2's state knows no masks that are out of date: after a correction the old ones stand
         beside the new. Here the masks of the frames in `fresh` are a function of the prompts
         alone, the one that `experiments.track` computes from the prompts file: an object is
         tracked from its first prompt in both directions, and a correction changes the frames
         beyond it and no other.
"""

import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from surgjax.annotation.document import Document, Item, Marks
from surgjax.annotation.errors import EditError
from surgjax.annotation.track_files import ObjectFiles, TrackFiles
from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.propagation import Part
from surgjax.inference.session import ObjectTrack, Prompt, VideoState
from surgjax.inference.video import VideoPredictor
from surgjax.structs import ImageFeatures

Interval = tuple[int, int] | None
DIRECTIONS = ("forward", "back", "both")
_FEATURES = 8  # frames whose features stay on the device, for clicks to and fro


class Step(NamedTuple):
    """A frame is done."""

    frame: int
    done: int
    total: int


class Mark(NamedTuple):
    """The state of an object's masks at one moment, to come back to."""

    fresh: Interval
    writes: int
    tracks: str  # whose masks: those of another model are other masks


def record_shapes(predictor: VideoPredictor) -> dict[str, tuple[tuple, np.dtype]]:
    """Of what a frame leaves for an object, in the order of its file."""
    config, memory = predictor.config, predictor.programs.stream.policy.memory
    single = np.dtype(np.float32)
    return {
        "low_res": ((config.mask_size,) * 2, single),
        "pointer": ((config.hidden_dim,), single),
        "memory": (tuple(memory.shape), np.dtype(memory.dtype)),
    }


class Tracker:
    """Masks of one video on disk, and the predictor that makes them. One thread at a time."""

    def __init__(
        self,
        predictor: VideoPredictor,
        state: VideoState,
        files: TrackFiles,
        read_mask: Callable[[str], np.ndarray],
    ):
        self.predictor, self.state, self.files = predictor, state, files
        self._read_mask = read_mask
        self._features: OrderedDict[int, ImageFeatures] = OrderedDict()
        state.store = files

    # ---- objects and prompts -------------------------------------------------------------------

    def load(self, item: Item) -> None:
        """Takes up an object whose masks may have been made by an earlier process."""
        files, track = self._object(item.object_id)
        for frame, marks in item.marks.items():
            if marks.is_correction:
                track.corrections[frame] = self._prompt(item.object_id, frame, marks)
            record = files.answers.get(frame)
            if record is not None and files.answers.key(frame) == marks.key:
                track.conditioning[frame] = record
            elif marks.is_correction:
                self._shrink(files, item, frame, inside=False)
            else:
                self._answer_anchor(item, frame)
                files.fresh = None
        for frame in files.answers.frames().tolist():
            if frame not in item.marks:  # a kill came between the answer and the document
                was_correction = bool(files.found.key(frame))
                self._drop_answer(files, frame)
                if was_correction:
                    self._shrink(files, item, frame, inside=True)
                else:
                    files.fresh = None
        first = item.anchors[0] if item.marks else None
        if first is None or files.fresh is None or not files.fresh[0] <= first <= files.fresh[1]:
            files.fresh = None if first is None else (first, first)

    def mark(self, obj_id: int) -> Mark:
        files = self.files.object(obj_id)
        return Mark(files.fresh, files.writes, self.files.folder.name)

    def was_tracked(self, obj_id: int) -> bool:
        """Whether a propagation has ever come to a frame of the object."""
        files = self.files.object(obj_id)
        return bool(files.tracked.index["key"].any() or files.found.index["key"].any())

    def change(self, before: Item | None, after: Item | None, back_to: Mark | None = None) -> None:
        """Answers the prompts that differ, and notes which masks are out of date now.

        back_to: the masks as they were when the prompts were last the same; where nothing has
        been written over since, they count again.
        """
        if after is None:
            assert before is not None
            self.state.objects.pop(before.object_id, None)
            return
        if after.object_id not in self.state.objects:
            self.load(after)  # it comes back; or it is new
            return
        files, track = self._object(after.object_id)
        old = {} if before is None else before.marks
        changed = [f for f in {*old, *after.marks} if old.get(f) != after.marks.get(f)]
        starts = [f for f in changed if _is_anchor(old.get(f)) or _is_anchor(after.marks.get(f))]
        for frame in starts:
            self._forget(files, track, frame)
            if _is_anchor(after.marks.get(frame)):
                self._answer_anchor(after, frame)
        if not after.anchors:
            files.fresh = None
        elif starts:
            files.fresh = (after.anchors[0], after.anchors[0])
        if after.anchors:
            first = after.anchors[0]
            rest = [f for f in changed if not _is_anchor(after.marks.get(f))]
            rest = [f for f in rest if f in after.marks or not _is_anchor(old.get(f))]
            for frame in sorted(rest, key=lambda f: abs(f - first)):
                self._change_correction(files, track, after, frame)
        turned = [f for f in starts if f in old and f in after.marks]
        if any(old[f].is_correction != after.marks[f].is_correction for f in turned):
            files.writes += 1  # the answer of one kind gave way to the other's
        if back_to is not None and back_to[1:] == self.mark(after.object_id)[1:]:
            files.fresh = back_to.fresh

    def give_up(self, obj_id: int) -> None:
        """After a change that failed half-way, as on a full disk: nothing of the object counts as
        up to date, and it is taken up anew from its prompts when it is needed next."""
        self.state.objects.pop(obj_id, None)
        files = self.files.object(obj_id)
        files.fresh = None
        files.writes += 1

    def _change_correction(
        self, files: ObjectFiles, track: ObjectTrack, item: Item, frame: int
    ) -> None:
        exact = _holds(files.fresh, frame)
        self._shrink(files, item, frame, inside=exact)
        self._forget(files, track, frame)
        marks = item.marks.get(frame)
        if marks is not None:
            track.corrections[frame] = self._prompt(item.object_id, frame, marks)
            self._answer_correction(files, item, frame)
            if not exact:
                files.writes += 1

    def _forget(self, files: ObjectFiles, track: ObjectTrack, frame: int) -> None:
        """Takes an answer back; what had been tracked under it is seen again."""
        for kept in (track.conditioning, track.corrections, track.found):
            kept.pop(frame, None)
        self._drop_answer(files, frame)

    def _drop_answer(self, files: ObjectFiles, frame: int) -> None:
        found = files.found.get(frame)
        if found is not None:
            files.tracked.put(frame, found)
        files.answers.remove(frame)
        files.found.remove(frame)

    def _shrink(self, files: ObjectFiles, item: Item, frame: int, inside: bool) -> None:
        """Frames beyond this one are out of date, and this one too unless `inside`."""
        if files.fresh is None or not item.anchors:
            return
        (low, high), first = files.fresh, item.anchors[0]
        if frame > first:
            high = max(first, min(high, frame if inside else frame - 1))
        else:
            low = min(first, max(low, frame if inside else frame + 1))
        files.fresh = (low, high)

    def _answer_anchor(self, item: Item, frame: int) -> None:
        files, track = self._object(item.object_id)
        self.ready(frame)
        prompt = self._prompt(item.object_id, frame, item.marks[frame])
        record = self.predictor.answer_afresh(self.state, frame, item.object_id, prompt)
        track.conditioning[frame] = record
        files.tracked.remove(frame)
        files.answers.put(frame, record, item.marks[frame].key)

    def _answer_correction(self, files: ObjectFiles, item: Item, frame: int) -> None:
        """From the mask that is there, and the memory of the frames before it. Where these are out
        of date, so is the answer; where the object was never tracked, it is one without memory."""
        obj_id, track = item.object_id, self.state.objects[item.object_id]
        key = item.marks[frame].key
        self.ready(frame)
        found = files.tracked.get(frame)
        if found is None:
            prompt = track.corrections[frame]
            files.answers.put(
                frame, self.predictor.answer_afresh(self.state, frame, obj_id, prompt), key
            )
            return
        direction = 1 if frame > item.anchors[0] else -1
        origin = self._origin(track, direction)
        tracks = DeviceTracks(self.predictor.programs, self.state, direction, {obj_id: origin})
        tracks.replay(obj_id, frame)
        known = self.predictor.known_frames(self.state, track, frame, direction, origin)
        tracks.remember_prompts(obj_id, frame, known)
        record = self.predictor.correct(self.state, tracks, frame, obj_id, found)
        self._keep_correction(files, frame, track, record, key)

    def _keep_correction(
        self, files: ObjectFiles, frame: int, track: ObjectTrack, record, key: int
    ) -> None:
        files.found.put(frame, track.found.pop(frame))
        files.answers.put(frame, record, key)
        files.tracked.remove(frame)

    def _prompt(self, obj_id: int, frame: int, marks: Marks) -> Prompt:
        mask = None if marks.mask is None else self._read_mask(marks.mask)
        return self.predictor.read_prompt(
            self.state,
            f"object {obj_id}, frame {frame}",
            points=np.array(marks.points, np.float32) if marks.points else None,
            labels=np.array(marks.labels, np.int32) if marks.points else None,
            box=marks.box,
            mask=mask,
        )

    def _object(self, obj_id: int) -> tuple[ObjectFiles, ObjectTrack]:
        return self.files.object(obj_id), self.predictor.open_object(self.state, obj_id)

    @staticmethod
    def _origin(track: ObjectTrack, direction: int) -> int:
        """Where the object's way in this direction begins: back from the frame before its first."""
        return min(track.anchors) - (direction < 0)

    # ---- frames --------------------------------------------------------------------------------

    def ready(self, frame: int) -> None:
        """Has the features of a frame at hand, so that a prompt needs no more than the decoder."""
        if frame in self._features:
            self._features.move_to_end(frame)
            self.state.features = (frame, self._features[frame])
            return
        self._features[frame] = self.predictor.features(self.state, frame)
        while len(self._features) > _FEATURES:
            self._features.popitem(last=False)

    # ---- tracking ------------------------------------------------------------------------------

    def track(self, document: Document, direction: str, frames: int | None) -> Iterator[Step]:
        """Brings masks up to date, at most so many frames each way; `EditError` where they are.

        What is done stays when the iterator is closed.
        """
        if direction not in DIRECTIONS:
            raise EditError(f"Direction {direction}: one of {', '.join(DIRECTIONS)} expected.")
        for item in document:
            if item.object_id not in self.state.objects:  # a change of it had failed
                self.load(item)
        ways = [1, -1] if direction == "both" else [1 if direction == "forward" else -1]
        passes = [(way, *self._plan(document, way, frames)) for way in ways]
        passes = [each for each in passes if each[1]]
        if not passes:
            if not any(item.anchors for item in document):
                raise EditError("There is nothing to track yet: click on an object first.")
            side = {"forward": " to the end", "back": " to the beginning", "both": ""}[direction]
            raise EditError(f"All masks are up to date{side}.")
        total, done = sum(len(span) for _, _, span in passes), itertools.count(1)
        return (
            Step(frame, next(done), total)
            for way, items, span in passes
            for frame in self._pass(items, way, span)
        )

    def _plan(self, document: Document, way: int, frames: int | None) -> tuple[list[Item], range]:
        """Objects that are behind in this direction, and the frames from the first of them on."""
        starts = {}
        for item in document:
            fresh = self.files.object(item.object_id).fresh
            if item.anchors and fresh is not None:
                start = fresh[1] + 1 if way > 0 else fresh[0] - 1
                if 0 <= start < self.files.num_frames:
                    starts[item.object_id] = start
        if not starts:
            return [], range(0)
        most = self.files.num_frames if frames is None else frames
        if way > 0:
            start = min(starts.values())
            span = range(start, min(start + most, self.files.num_frames))
        else:
            start = max(starts.values())
            span = range(start, max(start - most, -1), -1)
        return [item for item in document if starts.get(item.object_id, -1) in span], span

    def _pass(self, items: list[Item], way: int, span: range) -> Iterator[int]:
        parts = {}
        for item in items:
            track = self.state.objects[item.object_id]
            files = self.files.object(item.object_id)
            low, high = files.fresh or (0, 0)
            files.writes += 1
            origin = self._origin(track, way)
            parts[item.object_id] = Part(track, high + 1 if way > 0 else low - 1, origin)
        # A state with the objects of this pass alone: others may be ahead, and stay as they are.
        objects = {o: part.track for o, part in parts.items()}
        state = dataclasses.replace(self.state, objects=objects, upcoming=None)
        by_id = {item.object_id: item for item in items}
        passing = self.predictor.track_through(state, span, way, parts)
        for frame, _, shown in passing:
            for obj_id in shown:
                self._done(by_id[obj_id], frame, way)
            yield frame

    def _done(self, item: Item, frame: int, way: int) -> None:
        files, track = self._object(item.object_id)
        if frame in track.corrections:
            key = item.marks[frame].key
            self._keep_correction(files, frame, track, track.conditioning[frame], key)
        low, high = files.fresh or (frame, frame)
        files.fresh = (low, frame) if way > 0 else (frame, high)

    def warm_up(self) -> None:
        """Compiles what clicks and tracking need, on the first frame, with an object that goes."""
        size = (self.state.height, self.state.width)
        state = dataclasses.replace(self.state, objects={}, store=None)
        middle = (size[1] // 2, size[0] // 2)
        self.predictor.open_object(state, 1)
        for count in (1, 5):  # two buckets of points
            xy = np.array([middle] * count, np.float32)
            prompt = self.predictor.read_prompt(state, "warm-up", points=xy)
            record = self.predictor.answer_afresh(state, 0, 1, prompt)
        track = state.objects[1]
        track.conditioning[0] = record
        track.corrections[1] = prompt
        for _ in self.predictor.track_through(state, range(min(2, self.files.num_frames)), 1):
            pass
        self.state.features = None

    def close(self) -> None:
        self._features.clear()
        self.state.close()  # and with it the files


def _is_anchor(marks: Marks | None) -> bool:
    return marks is not None and not marks.is_correction


def _holds(interval: Interval, frame: int) -> bool:
    return interval is not None and interval[0] <= frame <= interval[1]
