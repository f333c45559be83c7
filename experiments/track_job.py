"""The work on one video: track, which writes masks in the order frames are tracked; then draw.

Path:    predictor + frames + prompts -> [track_job] -> files in the folder of work
Axes:    mask_logits (objects, 1, H, W) at the size of the video.
Units:   milliseconds where the name says so; frames count from 0.
Errors:  ValueError where nothing could be tracked; why it stopped later is a text (`work`).
Source:  ours.
Differs: SAM 2's script keeps all masks in memory and draws nothing; here one frame is held, and
         what is needed to go on after a kill is written every so many frames. The overlay is drawn
         from the masks at the end, so an interruption costs none of it but time.
"""

import contextlib
import dataclasses
import errno
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments import class_report, track_snapshot
from experiments.track_options import TrackOptions
from experiments.track_snapshot import CannotGoOn, Kept
from surgjax.inference.background import Background
from surgjax.inference.devices import describe_devices
from surgjax.inference.frames import FrameReadError, FrameSource
from surgjax.inference.mask_writer import MaskWriter, write_file
from surgjax.inference.progress import Progress
from surgjax.inference.prompt_file import FramePrompt, PromptFile
from surgjax.inference.snapshot import Snapshot
from surgjax.versions import package_versions
from surgjax.viz.overlay import PromptMarks
from surgjax.viz.result_pictures import ResultPictures

_OPTIONAL = {"masks_per_object": "per_object_masks", class_report.FILE: "per_frame_classes"}
MASK_FOLDERS = ("masks", "masks_per_object")
RESULTS = ("masks", "overlay.mp4", "sheet.png", "summary.json", *_OPTIONAL)


class TrackJob:
    """One video on its way; `restore` first where an earlier process has begun it."""

    def __init__(
        self,
        options: TrackOptions,
        source: FrameSource,
        prompts: PromptFile,
        predictor: Any,
        folder: Path,
        settings: dict[str, Any],
        say: Callable[[str], None],
    ):
        self.options, self.source, self.prompts = options, source, prompts
        self.predictor, self.folder, self.say = predictor, folder, say
        self.settings = settings
        self.fault: Exception | None = None
        self.expected = [r for r in RESULTS if r not in _OPTIONAL or getattr(options, _OPTIONAL[r])]
        named = getattr(predictor, "classifier", None)
        per_frame = options.per_frame_classes
        self.classes = class_report.ClassReport(named.bank, per_frame) if named else None
        first, last, end = prompts.starts[0], prompts.starts[-1], source.num_frames
        assert end is not None  # no live stream comes here
        passes = {"forward": range(first, end), "backward": range(last + 1), "both": range(end)}
        self.planned = passes[options.direction]
        self.steps = len(self.planned)
        if options.direction == "both":  # back from the first prompt of each object
            self.steps = end - first + max(item.starts[0] for item in prompts.objects)
        self.done = 0  # steps
        self.visited = np.zeros(end, bool)
        self.first: int | None = None  # the frame whose time holds loading and prompts
        self.total_ms = np.zeros(end)
        # One predictor may serve many videos: only what comes from here on is this one's.
        timings = predictor.timings
        self._compiled_before = timings["compile_seconds"]
        self._steps_before = len(timings["step_ms"])
        self._earlier_step_ms = np.zeros(0)  # of the part before an interruption
        self.masks = MaskWriter(
            folder,
            [item.object_id for item in prompts.objects],
            end,
            (source.height, source.width),
            per_object=options.per_object_masks,
            merge=options.direction == "both",
        )
        self.pictures: ResultPictures | None = None
        self._begun: Kept | None = None

    # ---- going on after an interruption --------------------------------------------------------

    def restore(self, kept: Kept) -> None:
        """Takes over what an earlier process has left in this folder."""
        own = kept.part("job")
        self.visited[:], self.total_ms[:] = own["visited"], own["total_ms"]
        self._earlier_step_ms = own["step_ms"]
        self.done, self.first = kept.facts["done"], kept.facts["first"]
        try:
            self.masks.restore(kept.part("masks"))
        except ValueError as error:
            raise CannotGoOn(f"--resume: {error}; --overwrite begins again.") from None
        if self.classes is not None:
            self.classes.restore(kept.part("classes"))
        self._begun = kept

    def _save(self, state: Any) -> None:
        """Writes the file to go on from; without a state, that all frames are tracked."""
        parts = {"masks": self.masks.state()}
        facts = {"done": self.done, "first": self.first, "tracker": None}
        own = {"visited": self.visited, "total_ms": self.total_ms, "step_ms": self._step_ms()}
        parts["job"] = own
        if self.classes is not None:
            parts["classes"] = self.classes.state()
        if state is not None:
            facts["tracker"], parts["tracker"] = self.predictor.snapshot(state)
        arrays = track_snapshot.joined(parts)
        track_snapshot.write(self.folder, Kept(self.settings, facts, arrays))

    def _step_ms(self) -> np.ndarray:
        new = np.asarray(self.predictor.timings["step_ms"][self._steps_before :], float)
        return np.concatenate([self._earlier_step_ms, new])

    # ---- the work ------------------------------------------------------------------------------

    def work(self, cached: bool, make_room: Callable[[], None]) -> str | None:
        """Tracks and draws. Returns why it stopped early, None if it did not."""
        stopped = self._guard(lambda: self._start(cached))
        if not self.masks.written.any():
            if self.fault is not None:
                raise self.fault
            raise ValueError(stopped or "no frame was tracked.")
        make_room()
        parts = [self._fill, self._draw, self._save_sheet, self._write_classes]
        if not stopped:  # else the logits are needed to go on
            parts.append(self.masks.drop_logits)
        reasons = [stopped, *map(self._guard, parts)]
        return next((reason for reason in reasons if reason), None)

    def _guard(self, part: Callable[[], None]) -> str | None:
        """Runs a part; why it failed comes back as text, so that the rest can be finished."""
        try:
            part()
        except KeyboardInterrupt:
            return INTERRUPTED
        except FrameReadError as error:
            return str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return f"the disk of {self.options.output} is full ({error.strerror})"
            return str(error)
        except Exception as error:
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                return "out of memory; a smaller --image_size or model needs less"
            self.fault = error
            return f"{type(error).__name__}: {error}"
        return None

    def _start(self, cached: bool) -> None:
        begun = self._begun
        if begun is not None and begun.facts["tracker"] is None:
            self.say("tracking was finished before; only drawing is left")
            return
        # Four slots at least, as an annotation session has: they cost nothing, and a program for
        # another number of slots may round another way and move a pixel.
        slots = max(4, len(self.prompts.objects))
        state = self.predictor.init_state(self.source, max_objects=slots)
        self.say("compiling...")
        if begun is None:
            self._add_prompts(state)
            frames = self._frames(state)
        else:
            self.predictor.restore(state, Snapshot(begun.facts["tracker"], begun.part("tracker")))
            frames = self.predictor.continue_propagation(state)
        self._track(state, frames, cached)
        self._save(None)

    def _add_prompts(self, state) -> None:
        for item in self.prompts.objects:
            for prompt in item.prompts:
                if not prompt.is_correction:
                    self._add_prompt(state, item.object_id, prompt)
            for prompt in item.prompts:
                if prompt.is_correction:
                    where = (state, prompt.frame_index, item.object_id)
                    points = (prompt.points_xy, prompt.labels, prompt.box_xyxy)
                    self.predictor.add_correction(*where, *points, mask=prompt.mask)

    def _add_prompt(self, state, object_id: int, prompt: FramePrompt) -> None:
        where = (state, prompt.frame_index, object_id)
        if prompt.mask is not None:
            self.predictor.add_new_mask(*where, prompt.mask)
            return
        points = {"points": prompt.points_xy, "labels": prompt.labels, "box": prompt.box_xyxy}
        self.predictor.add_new_points_or_box(*where, **points)

    def _frames(self, state) -> Iterator[tuple[int, list[int], np.ndarray]]:
        start = self.prompts.starts[-1]
        if self.options.direction == "both":
            return self.predictor.propagate_both(state)
        if self.options.direction == "forward":
            return self.predictor.propagate_in_video(state)
        if start == 0:  # backward from frame 0 SAM 2 yields nothing, not even the prompted frame
            return self.predictor.propagate_in_video(state, 0, max_frame_num_to_track=0)
        return self.predictor.propagate_in_video(state, start, reverse=True)

    def _track(self, state, frames: Iterator, cached: bool) -> None:
        progress, is_first, due = Progress("tracking", self.steps - self.done), True, False
        start, compiled = time.perf_counter(), self.predictor.timings["compile_seconds"]
        with Background() as writing, contextlib.ExitStack() as end:
            end.callback(progress.finish)
            for frame_index, object_ids, mask_logits in frames:
                said = None
                if self.classes is not None:
                    said = self.predictor.class_probabilities(state)
                writing.put(self._keep, frame_index, object_ids, mask_logits, said)
                now, total = time.perf_counter(), self.predictor.timings["compile_seconds"]
                self.total_ms[frame_index] += 1000 * (now - start - (total - compiled))
                self.visited[frame_index] = True
                self.done += 1
                if self.first is None:
                    self.first = frame_index
                if is_first:
                    note = " (cached for next time)" if cached else ""
                    self.say(f"compiling... done {total - self._compiled_before:.1f} s{note}")
                    progress.first_step()
                else:
                    progress.step()
                due |= is_first or not self.done % self.options.snapshot_every
                if due and not self.predictor.frames_ahead(state):
                    writing.wait()
                    self._save(state)
                    due = False
                is_first, start, compiled = False, time.perf_counter(), total

    def _keep(
        self, frame_index: int, object_ids: list[int], mask_logits: np.ndarray, said: Any
    ) -> None:
        """Writes the masks of a frame, and counts what its objects were said to be."""
        self.masks.add(frame_index, object_ids, mask_logits)
        if self.classes is not None:
            self.classes.add(frame_index, object_ids, mask_logits, said)

    def _fill(self) -> None:
        """Zero masks where this direction never comes; where it stopped short there are none."""
        planned = set(self.planned)
        self.masks.fill(t for t in range(len(self.source)) if t not in planned)

    def _draw(self) -> None:
        frames = np.flatnonzero(self.masks.written).tolist()
        names = {item.object_id: item.name for item in self.prompts.objects}
        if self.classes is not None:
            names = {each: self.classes.label(each, name) for each, name in names.items()}
        size, fps = (self.source.height, self.source.width), self.source.fps or self.options.fps
        self.pictures = pictures = ResultPictures(self.folder, frames, size, fps, names)
        progress = Progress("drawing", len(frames))
        try:
            for t in frames:
                start = time.perf_counter()
                label_map, scores = self.masks.read(t), self.masks.scores(t)
                pictures.add(t, self.source[t], label_map, scores, self._marks(t))
                self.total_ms[t] += 1000 * (time.perf_counter() - start)
                progress.step()
        finally:  # a frame that cannot be read ends the overlay; what was drawn is whole
            progress.finish()
            pictures.close()

    def _save_sheet(self) -> None:
        if self.pictures is not None:
            self.pictures.save_sheet()

    def _write_classes(self) -> None:
        if self.classes is not None and self.classes.per_frame:
            self.classes.write(self.folder)

    def _marks(self, frame_index: int) -> list[PromptMarks]:
        return [
            PromptMarks(item.object_id, p.points_xy, p.labels, p.box_xyxy, p.mask is not None)
            for item in self.prompts.objects
            for p in item.prompts
            if p.frame_index == frame_index
        ]

    # ---- the summary ---------------------------------------------------------------------------

    def write_summary(self, stopped: str | None) -> dict[str, Any]:
        """Writes summary.json. `stopped` is there only where the run ended early."""
        visited = np.flatnonzero(self.visited)
        timed = visited[visited != self.first] if len(visited) > 1 else visited
        compiled = self.predictor.timings["compile_seconds"] - self._compiled_before
        present = self.masks.present.sum(0)
        summary: dict[str, Any] = {
            "frames": int(self.masks.written.sum()),
            "objects": [
                {"id": item.object_id, "name": item.name, "frames_present": int(count)}
                for item, count in zip(self.prompts.objects, present, strict=True)
            ],
            "compile_seconds": round(compiled, 3),
            **_percentiles("step_ms", self._step_ms()),
            **_percentiles("total_ms", self.total_ms[timed]),
            "seconds": round(float(self.total_ms.sum()) / 1000, 3),  # of tracking and drawing
            "device": describe_devices(),
            "model": self.predictor.config.name,
            "image_size": self.predictor.config.image_size,
            "precision": self.options.precision,
            "memory": {
                "policy": self.options.memory,
                "options": dataclasses.asdict(self.options.memory_options),
            },
            "checkpoint_sha256": self.predictor.checkpoint_sha256,
            "versions": package_versions(),
            "settings": self.settings,
        }
        if self.classes is not None:
            summary["text_bank"] = self.classes.about()
            for item in summary["objects"]:
                item |= self.classes.of_object(item["id"])
        if stopped:
            summary["stopped"] = stopped
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        self._guard(lambda: write_file(self.folder / "summary.json", text.encode()))
        return summary


INTERRUPTED = "interrupted"


def _percentiles(name: str, values) -> dict[str, float | None]:
    """p50 and p95 in milliseconds; null where nothing was timed (a single image)."""
    if not len(values):
        return {f"{name}_p50": None, f"{name}_p95": None}
    p50, p95 = np.percentile(np.asarray(values, float), (50, 95))
    return {f"{name}_p50": round(float(p50), 3), f"{name}_p95": round(float(p95), 3)}
