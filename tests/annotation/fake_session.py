"""A scripted annotation session without JAX, for tests of the server and of the page.

Path:    fake_video, fake_object -> [fake_session] -> experiments.annotation
Axes:    frames uint8 (H, W, 3); label maps uint8 (H, W).
Units:   pixels of the video; frames count from 0; `delay` in seconds.
Errors:  EditError and StaleError, as AnnotationSession raises them.
Source:  ours.
Differs: its masks mean nothing. It checks that edits come from one thread at a time.
"""

import contextlib
import functools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surgjax.annotation.errors import EditError, StaleError
from tests.annotation.fake_object import FakeObject, runs, score
from tests.annotation.fake_video import FakeVideo

LOW_SCORE = 0.6
_MODEL = {"name": "fake", "image_size": 256, "precision": "fp32", "memory": "recent"}


class Step(NamedTuple):
    """One step of a job."""

    frame: int
    done: int
    total: int


class _Undo(NamedTuple):
    label: str
    frame: int | None
    objects: dict[int, FakeObject]


def _alone(method: Callable) -> Callable:
    """Of calls that belong to one thread at a time: two at once are an error of the server."""

    @functools.wraps(method)
    def checked(self: "FakeSession", *args: Any, **kwargs: Any) -> Any:
        if not self._at_work.acquire(blocking=False):
            raise AssertionError(f"{method.__name__} while another call is at work")
        try:
            self.calls.append(method.__name__)
            return method(self, *args, **kwargs)
        finally:
            self._at_work.release()

    return checked


class FakeSession:
    """The interface of AnnotationSession. Tracking and export wait `delay` at each frame."""

    def __init__(
        self,
        output: str | Path,
        num_frames: int = 120,
        width: int = 320,
        height: int = 240,
        delay: float = 0.0,
    ):
        self.video = FakeVideo(num_frames, width, height)
        self.output, self.delay = Path(output), delay
        self.calls: list[str] = []  # of edits and jobs, by name
        self.is_closed = False
        self._objects: dict[int, FakeObject] = {}
        self._undo, self._redo = deque[_Undo](maxlen=100), deque[_Undo](maxlen=100)
        self.revision = 0
        self._lock, self._at_work = threading.RLock(), threading.Lock()

    # Any thread.

    def describe(self) -> dict:
        video = self.video
        size = {"frames": video.num_frames, "width": video.width, "height": video.height}
        with self._lock:
            return {
                "video": {"name": "fake.mp4", "path": "/videos/fake.mp4", **size, "fps": 25.0},
                "model": dict(_MODEL),
                "output": str(self.output),
                "revision": self.revision,
                "objects": [item.describe() for item in self._objects.values()],
                "undo": self._undo[-1].label if self._undo else None,
                "redo": self._redo[-1].label if self._redo else None,
                "low_score": LOW_SCORE,
                "job": None,
            }

    def timeline(self) -> dict:
        with self._lock:
            each = {str(i): item.timeline(LOW_SCORE) for i, item in self._objects.items()}
            return {"revision": self.revision, "objects": each}

    def frame(self, frame: int) -> np.ndarray:
        return self.video[frame]

    def masks(self, frame: int) -> tuple[np.ndarray, dict[int, dict]]:
        labels = np.zeros((self.video.height, self.video.width), np.uint8)
        states = {}
        with self._lock:
            for i, item in self._objects.items():
                mask = item.masks.get(frame)
                if mask is not None:
                    labels[mask] = i
                iou = None if mask is None else score(frame)
                present = mask is not None and bool(mask.any())
                states[i] = {"state": item.state(frame), "iou": iou, "present": present}
        return labels, states

    # One thread at a time.

    @_alone
    def look(self, frame: int) -> None:
        time.sleep(self.delay)

    @_alone
    def warm_up(self) -> None:
        pass

    @_alone
    def add_object(self, name: str | None = None) -> int:
        with self._change("add object", None):
            return self._new(name).id

    @_alone
    def rename_object(self, object_id: int, name: str | None) -> None:
        item = self._object(object_id)
        with self._change("rename object", None):
            item.name = name

    @_alone
    def remove_object(self, object_id: int) -> None:
        self._object(object_id)
        with self._change("remove object", None):
            del self._objects[object_id]

    @_alone
    def add_point(self, object_id: int | None, frame: int, x: int, y: int, label: int) -> int:
        self._check(object_id, frame, [[x, y]])
        with self._change("add point", frame):
            item = self._object(object_id)
            before = item.masks.get(frame)
            prompt = item.prompt(frame)
            prompt.points.append([x, y])
            prompt.labels.append(label)
            item.prompted(frame, self.video, before)
            return item.id

    @_alone
    def set_box(self, object_id: int | None, frame: int, box: list[int]) -> int:
        x0, y0, x1, y1 = box
        self._check(object_id, frame, [[x0, y0], [x1, y1]])
        if x0 >= x1 or y0 >= y1:
            raise EditError(f"The box {box} is empty: x0 < x1 and y0 < y1 expected.")
        with self._change("set box", frame):
            item = self._object(object_id)
            prompt = item.prompt(frame)
            prompt.box, prompt.mask = list(box), None
            item.prompted(frame, self.video, None)
            return item.id

    @_alone
    def paint(
        self, object_id: int | None, frame: int, stroke: list[list[int]], radius: float, erase: bool
    ) -> int:
        self._check(object_id, frame, stroke)
        with self._change("erase" if erase else "paint", frame):
            item = self._object(object_id)
            shown = item.masks.get(frame, self.video.empty())
            painted = self.video.stroke(stroke, radius)
            prompt = item.prompt(frame)
            prompt.points, prompt.labels, prompt.box = [], [], None
            prompt.mask = shown & ~painted if erase else shown | painted
            item.prompted(frame, self.video, None)
            return item.id

    @_alone
    def clear_prompts(self, object_id: int, frame: int) -> None:
        item = self._object(object_id)
        if frame not in item.prompts:
            raise EditError(f"Object {object_id} has no prompt on frame {frame}.")
        with self._change("clear prompts", frame):
            item.cleared(frame)

    @_alone
    def undo(self) -> int | None:
        return self._go_back(self._undo, self._redo, "undo")

    @_alone
    def redo(self) -> int | None:
        return self._go_back(self._redo, self._undo, "redo")

    def track(self, direction: str, frames: int | None = None) -> Iterator[Step]:
        ways = {"forward": (1,), "back": (-1,), "both": (1, -1)}[direction]
        plans: list[tuple[int, int]] = []
        for way in ways:
            each = [item.todo(way, self.video.num_frames) for item in self._objects.values()]
            todo = set().union(*each)
            todo -= {f for _, f in plans}  # an untracked object has its anchor by then
            plans += [(way, f) for f in sorted(todo, reverse=way < 0)[:frames]]
        if not plans:
            raise EditError("Nothing to track: no object has a prompt, or all is up to date.")
        return self._track(plans)

    def _track(self, plans: list[tuple[int, int]]) -> Iterator[Step]:
        for done, (way, frame) in enumerate(plans, 1):
            self._track_frame(way, frame)
            yield Step(frame, done, len(plans))

    @_alone
    def _track_frame(self, way: int, frame: int) -> None:
        time.sleep(self.delay)
        with self._lock:
            for item in self._objects.values():
                if frame in item.todo(way, self.video.num_frames)[:1]:
                    item.track_to(frame, way, self.video)
            self.revision += 1

    def export(self, formats: list[str], name: str = "export", allow_stale: bool = False):
        stale = {i: item.timeline(LOW_SCORE)["stale"] for i, item in self._objects.items()}
        stale = {i: frames for i, frames in stale.items() if frames}
        if not any(item.masks for item in self._objects.values()):
            raise EditError("Nothing to export: no object has a mask.")
        if stale and not allow_stale:
            raise StaleError(f"Masks of object {', '.join(map(str, stale))} are stale.", stale)
        return self._export(formats, self.output / name, stale)

    def _export(self, formats: list[str], folder: Path, stale: dict):
        folder.mkdir(parents=True, exist_ok=True)
        total = self.video.num_frames
        for frame in range(total):
            time.sleep(self.delay)
            yield Step(frame, frame + 1, total)
        files = []
        for kind in formats:
            path = folder / f"{kind}.json"
            path.write_text(json.dumps({"format": kind, "frames": runs(list(range(total)))}))
            files.append(str(path))
        return {"folder": str(folder), "files": files, "stale": stale}

    @_alone
    def close(self) -> None:
        self.is_closed = True

    def _object(self, object_id: int | None) -> FakeObject:
        if object_id is None:
            return self._new(None)
        if object_id not in self._objects:
            raise EditError(f"There is no object {object_id}.")
        return self._objects[object_id]

    def _new(self, name: str | None) -> FakeObject:
        free = min(set(range(1, 256)) - set(self._objects))
        if free > 254:
            raise EditError("There are 254 objects, and no more can be.")
        self._objects[free] = FakeObject(free, name)
        return self._objects[free]

    def _check(self, object_id: int | None, frame: int, points: list[list[int]]) -> None:
        if object_id is not None:
            self._object(object_id)
        if not 0 <= frame < self.video.num_frames:
            raise EditError(f"Frame {frame}: the video has 0 to {self.video.num_frames - 1}.")
        for x, y in points:
            if not (0 <= x < self.video.width and 0 <= y < self.video.height):
                raise EditError(f"({x}, {y}) lies outside the frame.")

    def _snapshot(self) -> dict[int, FakeObject]:
        return {i: item.copy() for i, item in self._objects.items()}

    @contextlib.contextmanager
    def _change(self, label: str, frame: int | None) -> Iterator[None]:
        with self._lock:
            self._undo.append(_Undo(label, frame, self._snapshot()))
            self._redo.clear()
            yield
            self.revision += 1

    def _go_back(self, source: deque[_Undo], target: deque[_Undo], what: str) -> int | None:
        if not source:
            raise EditError(f"Nothing to {what}.")
        entry = source.pop()
        with self._lock:
            target.append(_Undo(entry.label, entry.frame, self._snapshot()))
            for i, old in entry.objects.items():
                if i in self._objects:
                    old.gone_back(self._objects[i], entry.frame)
            self._objects = entry.objects
            self.revision += 1
        return entry.frame
