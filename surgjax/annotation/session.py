"""An annotation session: everything a page needs of a video, and nothing of a page.

Path:    page or script -> [session] -> tracker, folder -> prompts.json, masks
Axes:    label maps uint8 (H, W), frames uint8 (H, W, 3) RGB.
Units:   pixels of the video, integers, x column and y row; frame indices count frames from 0.
Errors:  EditError, one sentence for the annotator; FolderError where the folder cannot be used;
         FrameReadError where a frame cannot be read.
Source:  ours.
Differs: SAM 2's demo keeps a session in the memory of its server. Here each edit is on disk before
         it is answered, and what is shown as up to date is what `experiments.track` writes for the
         prompts file. Methods but those marked so are for one thread at a time.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.annotation import document as documents
from surgjax.annotation import exports
from surgjax.annotation.describing import describe_model, describe_object, describe_video
from surgjax.annotation.document import Document, Item, Marks, find
from surgjax.annotation.errors import EditError
from surgjax.annotation.folder import AnnotationFolder
from surgjax.annotation.history import FILE as HISTORY
from surgjax.annotation.history import Edit, History
from surgjax.annotation.masks import LOW_SCORE, merge, shown, timeline_of
from surgjax.annotation.painting import paint
from surgjax.annotation.track_files import TrackFiles
from surgjax.annotation.tracker import Step, Tracker, record_shapes
from surgjax.inference.frames import FrameSource, open_video
from surgjax.inference.video import VideoPredictor

MAX_STROKE = 4096  # points


class AnnotationSession:
    """One video, one model, one folder. Made by `open`."""

    def __init__(
        self,
        predictor: VideoPredictor,
        video: str | Path,
        folder: AnnotationFolder,
        viewer: FrameSource,
        memory: str,
    ):
        self.folder, self.predictor = folder, predictor
        self._viewer = viewer  # frames to look at are read apart from those that are tracked
        self.revision = 0
        self.model = describe_model(predictor, memory)
        self.video = describe_video(video, viewer)
        settings = self.model | {
            "weights": predictor.checkpoint_sha256 or "random",
            "fill_hole_area": predictor.fill_hole_area,
        }
        self.document: Document = folder.load()
        self.history = History(folder.path / HISTORY, self.document)
        known = [*self.document, *self.history.items]
        folder.drop_masks(known)
        state = predictor.init_state(str(video))
        files = TrackFiles(folder.tracks(settings), len(viewer), record_shapes(predictor))
        files.keep_only({item.object_id for item in known})
        self.files = files
        self.tracker = Tracker(predictor, state, files, folder.read_mask)
        self._used = {item.object_id for item in known}

    @classmethod
    def open(
        cls,
        predictor: VideoPredictor,
        video: str | Path,
        output: str | Path,
        prompts: str | Path | None = None,
        memory: str = "recent",
        say: Callable[[str], None] = lambda text: None,
    ) -> "AnnotationSession":
        """A new session in `output`, or the one that was there. The predictor keeps no records of
        its own (keep_records=False).

        prompts: a file to begin with, where nothing has been said yet. memory: the predictor's
        policy and its options, in words; masks made with another are not taken for this one's.
        """
        viewer = open_video(str(video))
        if not viewer.seekable:
            raise ValueError(f"video {video}: a live stream cannot be annotated")
        folder = AnnotationFolder(output, viewer)
        try:
            session = cls(predictor, video, folder, viewer, memory)
            size = session.files.record_bytes
            say(
                f"disk: {size / 1e3:.0f} KB for each object and tracked frame, "
                f"{size * len(viewer) / 1e6:,.0f} MB an object for the whole video"
            )
            session._begin(prompts, say)
        except BaseException:
            folder.close()
            viewer.close()
            raise
        return session

    def _begin(self, prompts: str | Path | None, say: Callable[[str], None]) -> None:
        if prompts is not None:
            if self.document:
                raise EditError(
                    f"--prompts: {self.folder.path} has annotations already; they go on without it."
                )
            self.document = self.folder.read(Path(prompts))
            self._used = {item.object_id for item in self.document}
        for item in self.document:
            if item.marks:
                say(f"object {item.object_id}: {len(item.marks)} prompted frames")
            self.tracker.load(item)
        if prompts is not None:  # only now: a file that cannot be answered leaves the folder empty
            self.folder.save(self.document)

    # ---- what there is (any thread) ------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Everything but pictures, as JSON has it."""
        document = self.document
        return {
            "video": self.video,
            "model": self.model,
            "output": str(self.folder.path),
            "revision": self.revision,
            "objects": [
                describe_object(item, self.files.object(item.object_id).fresh) for item in document
            ],
            "undo": self.history.undo_label,
            "redo": self.history.redo_label,
            "low_score": LOW_SCORE,
        }

    def timeline(self) -> dict[str, Any]:
        """Runs of frames by object: up to date, out of date, in sight, in doubt."""
        revision = self.revision
        objects = {
            str(item.object_id): timeline_of(item, self.files.object(item.object_id))
            for item in self.document
        }
        return {"revision": revision, "objects": objects}

    def frame(self, frame: int) -> np.ndarray:
        """A frame of the video, (H, W, 3) RGB."""
        return self._viewer[self._frame(frame)]

    def masks(self, frame: int) -> tuple[np.ndarray, dict[int, dict[str, Any]]]:
        """The label map of a frame, and of each object its state, predicted IoU and presence."""
        frame = self._frame(frame)
        found = {
            item.object_id: shown(item, self.files.object(item.object_id), frame)
            for item in self.document
        }
        size = (self.video["height"], self.video["width"])
        labels = merge({o: s.low_res for o, s in found.items() if s.low_res is not None}, size)
        about = {
            o: {"state": s.state, "iou": round(s.iou, 4), "present": s.present}
            for o, s in found.items()
        }
        return labels, about

    # ---- edits ---------------------------------------------------------------------------------

    def add_object(self, name: str | None = None) -> int:
        """A new object without a prompt; returns its id."""
        item = Item(self._free_id(), documents.checked_name(name))
        self._edit("add object", None, item, None)
        return item.object_id

    def rename_object(self, id: int, name: str | None) -> None:
        """An empty name takes the name away."""
        item = find(self.document, id)
        after = dataclasses.replace(item, name=documents.checked_name(name))
        if after != item:
            self._edit("rename object", item, after, None)

    def remove_object(self, id: int) -> None:
        """Its masks stay on disk as long as this can be undone."""
        self._edit("remove object", find(self.document, id), None, None)

    def add_point(self, id: int | None, frame: int, x: int, y: int, label: int) -> int:
        """A positive (1) or negative (0) point; returns the object's id, which is new for None."""
        x, y = self._pixel(x, y)
        if label not in (0, 1):
            raise EditError(f"label {label}: 1 (on the object) or 0 (not on it) expected.")
        kind = "add point" if label else "add negative point"
        return self._mark(kind, id, frame, lambda m: documents.add_point(m, x, y, label))

    def set_box(self, id: int | None, frame: int, box: Any) -> int:
        """A box between two pixels; returns the object's id."""
        x0, y0, x1, y1 = box
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        corners = (*self._pixel(x0, y0), *self._pixel(x1, y1))
        if x0 == x1 or y0 == y1:
            raise EditError("A box is at least two pixels wide and high.")
        return self._mark("draw box", id, frame, lambda m: documents.set_box(m, corners))

    def paint(self, id: int | None, frame: int, stroke: Any, radius: float, erase: bool) -> int:
        """A stroke onto the mask that is shown; returns the object's id."""
        points = np.asarray(stroke, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= MAX_STROKE:
            raise EditError(f"A stroke has 1 to {MAX_STROKE} points x, y.")
        if not np.isfinite(points).all() or not 0.5 <= radius <= 1000:
            raise EditError(f"A brush of radius {radius}: 0.5 to 1000 pixels expected.")
        frame = self._frame(frame)
        size = (self.video["height"], self.video["width"])
        before = np.zeros(size, bool)
        if id is not None:
            before = self._object_mask(find(self.document, id), frame, size)
        mask = paint(before, points, radius, erase)
        if np.array_equal(mask, before):
            raise EditError("The stroke changes nothing.")
        if not mask.any() and not self._is_correction(id, frame):
            raise EditError("An object cannot begin with an empty mask; remove it instead.")
        name = self.folder.save_mask(mask)
        kind = "erase" if erase else "paint"
        return self._mark(kind, id, frame, lambda m: documents.set_mask(m, name))

    def _object_mask(self, item: Item, frame: int, size: tuple[int, int]) -> np.ndarray:
        marks = item.marks.get(frame)
        if marks is not None and marks.mask is not None:  # as it was painted, to the pixel
            return self.folder.read_mask(marks.mask)
        low_res = shown(item, self.files.object(item.object_id), frame).low_res
        return np.zeros(size, bool) if low_res is None else merge({1: low_res}, size) > 0

    def clear_prompts(self, id: int, frame: int) -> None:
        """Takes back what was said of an object on a frame."""
        item, frame = find(self.document, id), self._frame(frame)
        if frame not in item.marks:
            raise EditError(f"Object {id} has no prompt on frame {frame}.")
        after = item.with_marks(frame, Marks())
        starts = [after.marks[f].mask for f in after.anchors]
        if starts and not any(m is None or self.folder.read_mask(m).any() for m in starts):
            raise EditError(
                f"Object {id} would begin on frame {after.anchors[0]}, where its mask is empty; "
                "clear that one first, or remove the object."
            )
        self._edit("clear prompts", item, after, frame)

    def undo(self) -> int | None:
        """Takes the last edit back; returns the frame it was on."""
        edit = self.history.last_done
        self._apply(edit.after, edit.before, edit.place, edit)
        self.history.undo()
        return edit.frame

    def redo(self) -> int | None:
        """Does again what was undone last; returns the frame it was on."""
        edit = self.history.last_undone
        self._apply(edit.before, edit.after, edit.place, None)
        self.history.redo()
        return edit.frame

    def _mark(
        self, label: str, id: int | None, frame: int, change: Callable[[Marks], Marks]
    ) -> int:
        frame = self._frame(frame)
        before = None if id is None else find(self.document, id)
        item = Item(self._free_id()) if before is None else before
        new = Marks(is_correction=self._is_correction(id, frame))
        after = item.with_marks(frame, change(item.marks.get(frame, new)))
        self._edit(label, before, after, frame)
        return item.object_id

    def _is_correction(self, id: int | None, frame: int) -> bool:
        """Whether a prompt on this frame corrects what was tracked, or is one to start from."""
        item = None if id is None else find(self.document, id)
        if item is None or not item.marks:
            return False
        if frame in item.marks:
            return item.marks[frame].is_correction
        return self.tracker.was_tracked(item.object_id)

    def _edit(self, label: str, before: Item | None, after: Item | None, frame: int | None) -> None:
        item = after or before
        assert item is not None
        ids = [other.object_id for other in self.document]
        place = ids.index(item.object_id) if item.object_id in ids else None
        mark = None if before is None else self.tracker.mark(item.object_id)
        self._apply(before, after, place, None)
        self.history.add(Edit(label, before, after, place, frame, mark))

    def _apply(
        self, before: Item | None, after: Item | None, place: int | None, undone: Edit | None
    ) -> None:
        item = after or before
        assert item is not None
        self._used.add(item.object_id)
        document = documents.put(self.document, after, item.object_id, place)
        try:
            self.tracker.change(before, after, None if undone is None else undone.mark)
            self.folder.save(document)
            self.document = document
        except Exception:  # what is not saved has not been said
            if after is not None:
                self.tracker.give_up(item.object_id)
            raise
        finally:  # also after a failure: masks may be out of date then
            self.revision += 1

    def _free_id(self) -> int:
        object_id = documents.free_id(self.document, self._used)
        if object_id in self._used:  # of an object that is gone: its masks are not this one's
            self.history.clear()
            self.files.remove_object(object_id)
        return object_id

    def _frame(self, frame: int) -> int:
        if not 0 <= frame < self.video["frames"]:
            last = self.video["frames"] - 1
            raise EditError(f"There is no frame {frame}; the video has frames 0 to {last}.")
        return frame

    def _pixel(self, x: int, y: int) -> tuple[int, int]:
        width, height = self.video["width"], self.video["height"]
        if not (0 <= x < width and 0 <= y < height):
            raise EditError(f"({x}, {y}) lies outside the picture of {width}x{height} pixels.")
        return x, y

    # ---- work ----------------------------------------------------------------------------------

    def look(self, frame: int) -> None:
        """Encodes a frame, so that a click on it needs the decoder alone."""
        self.tracker.ready(self._frame(frame))

    def warm_up(self) -> None:
        """Compiles the programs of clicks and of tracking."""
        self.tracker.warm_up()

    def track(self, direction: str, frames: int | None = None) -> Iterator[Step]:
        """Brings masks up to date, "forward", "back" or "both", at most so many frames each way.

        Closing the iterator stops; what is done stays. EditError where nothing is to be done.
        """
        if frames is not None and frames < 1:
            raise EditError(f"{frames} frames: one or more expected.")
        return self._tracked(self.tracker.track(self.document, direction, frames))

    def _tracked(self, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            self.revision += 1
            yield step

    def export(
        self, formats: list[str], name: str = "export", allow_stale: bool = False
    ) -> Generator[Step, None, dict[str, Any]]:
        """Writes masks as files into a folder of this name within the session's.

        An iterator of steps; it returns what was written where. `StaleError` where masks are out of
        date and `allow_stale` is not set.
        """
        return exports.export(self, formats, name, allow_stale)

    def close(self) -> None:
        """Frees files, device memory and the folder."""
        self.tracker.close()
        self._viewer.close()
        self.folder.close()
