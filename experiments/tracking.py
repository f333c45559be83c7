"""Tracks a video file and writes its results: what `experiments.track` and the demo call.

Path:    video + prompts file -> [tracking] -> masks/, overlay.mp4, sheet.png, summary.json
Axes:    mask_logits (objects, 1, H, W) at the size of the video.
Units:   milliseconds and seconds where the name says so; frames count from 0.
Errors:  ValueError, OSError or DeviceError before anything is written; TrackStopped where tracking
         could not go on, after what was done has been kept.
Source:  ours.
Differs: SAM 2's script keeps all masks in memory and draws nothing; here one frame is held.
"""

import dataclasses
import errno
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments import class_report
from experiments.chosen_text_bank import about, open_bank
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.devices import (
    describe_devices,
    require_accelerator,
    unused_gpu,
)
from surgjax.inference.frames import FrameReadError, FrameSource, open_video
from surgjax.inference.mask_writer import MaskWriter, write_file
from surgjax.inference.output_folder import OutputFolder
from surgjax.inference.progress import Progress
from surgjax.inference.prompt_file import PromptFile, read_prompts
from surgjax.memory.registry import NAMES, options_for, stated
from surgjax.text.text_bank import TextBank
from surgjax.versions import package_versions
from surgjax.viz.overlay import PromptMarks
from surgjax.viz.result_pictures import ResultPictures

MODELS = ("nano", "tiny", "small", "base_plus", "large")
MEMORIES = NAMES
PRECISIONS = ("fp32", "bf16")
DIRECTIONS = ("forward", "backward", "both")
_OPTIONAL = {"masks_per_object": "per_object_masks", class_report.FILE: "per_frame_classes"}
RESULTS = ("masks", "overlay.mp4", "sheet.png", "summary.json", *_OPTIONAL)
_RESERVE = 2**20  # bytes held back: on a full disk there is still room for summary and sheet


@dataclasses.dataclass(frozen=True)
class TrackOptions:
    """The flags of the command; the same names and defaults."""

    video: Any  # a path; from code, anything `open_video` takes that is not live
    prompts: str
    output: str
    checkpoint: str | None = None
    model: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    memory: str = "recent"  # the policy, see docs/memory_policies.md
    memory_options: Any = ""  # a text, or what options_for made of it
    direction: str = "forward"
    per_object_masks: bool = False
    overwrite: bool = False
    fps: float = 25.0
    require_accelerator: bool = False
    random_weights: bool = False
    text_bank: str | None = None  # of a model with a semantic token: what objects may be
    per_frame_classes: bool = False


class TrackStopped(RuntimeError):
    """Tracking ended early; `summary` and the message say what was kept."""

    def __init__(self, message: str, summary: dict[str, Any]):
        super().__init__(message)
        self.summary = summary


def check_model(options: Any) -> None:
    """What is wrong with the flags that choose a model, which `segment_everything` has too."""
    if options.image_size is not None and (options.image_size <= 0 or options.image_size % 32):
        raise ValueError(f"--image_size={options.image_size}: a multiple of 32 expected.")
    if options.precision not in PRECISIONS:
        raise ValueError(f"--precision={options.precision}: one of {', '.join(PRECISIONS)}.")
    if options.checkpoint and options.random_weights:
        raise ValueError("--checkpoint and --random_weights contradict each other.")
    if options.model not in (None, "nano") and not (options.checkpoint or options.random_weights):
        raise ValueError(
            f"--model={options.model} needs --checkpoint=PATH (an official .pt, a safetensors file "
            "or an Orbax folder), or --random_weights to try it without one; only nano is bundled."
        )


def _check_options(options: TrackOptions) -> None:
    """What is wrong with the flags alone, before any file is touched."""
    check_model(options)
    options_for(options.memory, options.memory_options, options.fps)
    if not 0.01 <= options.fps <= 1000:
        raise ValueError(f"--fps={options.fps:g}: a rate from 0.01 to 1000 expected.")
    if options.direction not in DIRECTIONS:
        raise ValueError(f"--direction={options.direction}: one of {', '.join(DIRECTIONS)}.")
    if options.per_frame_classes and not options.text_bank:
        raise ValueError("--per_frame_classes needs --text_bank=FILE.")


def bank_of(options: TrackOptions) -> TextBank | None:
    """The instruments of the bank that `--text_bank` names, if it names one."""
    return open_bank("--text_bank", options.text_bank) if options.text_bank else None


def load_predictor(options: TrackOptions):
    """The predictor that the options ask for."""
    from surgjax.inference.video import VideoPredictor

    predictor = VideoPredictor.from_checkpoint(
        options.checkpoint or options.model or "nano",
        image_size=options.image_size,
        precision=options.precision,
        random_weights=options.random_weights,
        memory=options.memory,
        memory_options=options.memory_options,
        keep_records=False,  # one pass per direction: nothing is corrected afterwards
        text_bank=bank_of(options),
    )
    predictor.programs.on_compile = lambda what: None  # one notice stands for all programs
    if options.checkpoint and options.model not in (None, predictor.config.name):
        raise ValueError(
            f"--model={options.model}, but {options.checkpoint} holds {predictor.config.name}; "
            "leave --model out, it is inferred."
        )
    return predictor


def run(
    options: TrackOptions,
    load: Callable[[TrackOptions], Any] = load_predictor,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything but flag parsing. Returns what summary.json holds.

    ValueError or OSError for bad input, before anything is written; TrackStopped where tracking
    could not go on (a damaged frame, a full disk) after keeping what was done.
    """
    _check_options(options)
    folder = OutputFolder(options.output, RESULTS, options.overwrite)
    for name in ("video", "prompts", "checkpoint", "text_bank"):
        if isinstance(getattr(options, name), str | Path):
            folder.check_input(f"--{name}", getattr(options, name))
    source = open_video(options.video)
    if source.num_frames is None:
        raise ValueError("a live stream has no end; use VideoPredictor for it.")
    rate = source.fps or options.fps
    policy = options_for(options.memory, options.memory_options, rate)
    options = dataclasses.replace(options, memory_options=policy)
    prompts = read_prompts(options.prompts, source.width, source.height, source.num_frames)
    for path in (p.mask_path for item in prompts.objects for p in item.prompts):
        if path is not None:
            folder.check_input("mask", path)
    cached = _announce(options, source, prompts, say)
    work = folder.open()
    try:
        reserve = work / "reserve"
        reserve.write_bytes(bytes(_RESERVE))
        predictor = load(options)
        side, weights = predictor.config.image_size, options.checkpoint or "bundled weights"
        weights = "random weights: masks mean nothing" if options.random_weights else weights
        say(f"model: {predictor.config.name} ({weights}), {side} px, {options.precision}")
        say(f"memory: {stated(options.memory, policy)}")
        job = _Job(options, source, prompts, predictor, work, say)
        if job.classes is not None:
            say(about(job.classes.bank))
        stopped = job.work(cached, make_room=reserve.unlink)
        summary = job.write_summary(stopped)
    except BaseException:  # nothing was tracked
        folder.discard()
        raise
    lost = [item for item in job.expected if not (work / item).exists()]
    results = folder.finish()
    say("results:\n" + "\n".join(f"  {path}" for path in results))
    if job.fault is not None:
        raise RuntimeError(
            f"surgjax itself failed; what was done is in {folder.path}"
        ) from job.fault
    if stopped:
        kept = f"{summary['frames']} of {source.num_frames} frames are kept in {folder.path}"
        missing = f", without {' and '.join(lost)}" if lost else ""
        raise TrackStopped(f"stopped: {stopped}; {kept}{missing}.", summary)
    say(
        f"next: look at {folder.path / 'sheet.png'} and overlay.mp4. Where a mask goes wrong, add "
        f"a prompt on that frame to {options.prompts} and run again with --overwrite."
    )
    return summary


def _announce(options: TrackOptions, source: FrameSource, prompts: PromptFile, say) -> bool:
    """Device banner and a line about the input. Returns whether programs will be cached."""
    if options.require_accelerator:
        require_accelerator()
    say(f"device: {describe_devices()}")
    if unused_gpu():
        say("  an NVIDIA driver is present but JAX does not use it: pip install 'surgjax[cuda]'")
    try:
        enable_cache()
        cached = True
    except OSError as error:
        say(f"  compiled programs are not kept: {error}")
        cached = False
    rate = f"{source.fps:g} fps" if source.fps else f"no frame rate, {options.fps:g} fps taken"
    say(f"video: {source.path}, {source.num_frames} frames, {source.width}x{source.height}, {rate}")
    names = (f"{item.object_id} {item.name or ''}".strip() for item in prompts.objects)
    say(f"prompts: {', '.join(names)}; on frames {', '.join(map(str, prompts.frames))}")
    return cached


class _Job:
    """Two passes: track, which writes masks in the order frames are tracked; then draw in order."""

    def __init__(self, options, source, prompts, predictor, folder: Path, say):
        self.options, self.source, self.prompts = options, source, prompts
        self.predictor, self.folder, self.say = predictor, folder, say
        self.fault: Exception | None = None
        self.expected = [r for r in RESULTS if r not in _OPTIONAL or getattr(options, _OPTIONAL[r])]
        named = getattr(predictor, "classifier", None)
        per_frame = options.per_frame_classes
        self.classes = class_report.ClassReport(named.bank, per_frame) if named else None
        first, last, end = prompts.frames[0], prompts.frames[-1], source.num_frames
        passes = {"forward": range(first, end), "backward": range(last + 1), "both": range(end)}
        self.planned = passes[options.direction]
        self.steps = len(self.planned)
        if options.direction == "both":  # back from the first prompt of each object
            self.steps = end - first + max(o.prompts[0].frame_index for o in prompts.objects)
        self.visited = np.zeros(end, bool)
        self.first: int | None = None  # the frame whose time holds loading and prompts
        self.total_ms = np.zeros(end)
        self.masks = MaskWriter(
            folder,
            [item.object_id for item in prompts.objects],
            end,
            (source.height, source.width),
            per_object=options.per_object_masks,
            merge=options.direction == "both",
        )
        self.pictures: ResultPictures | None = None

    def work(self, cached: bool, make_room: Callable[[], None]) -> str | None:
        """Tracks and draws. Returns why it stopped early, None if it did not."""
        stopped = self._guard(lambda: self._start(cached))
        if not self.masks.written.any():
            if self.fault is not None:
                raise self.fault
            raise ValueError(stopped or "no frame was tracked.")
        make_room()
        self.masks.drop_logits()
        parts = (self._fill, self._draw, self._save_sheet, self._write_classes)
        reasons = [stopped, *map(self._guard, parts)]
        return next((reason for reason in reasons if reason), None)

    def _guard(self, part: Callable[[], None]) -> str | None:
        """Runs a part; why it failed comes back as text, so that the rest can be finished."""
        try:
            part()
        except KeyboardInterrupt:
            return "interrupted"
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
        state = self.predictor.init_state(self.source, max_objects=len(self.prompts.objects))
        self.say("compiling...")
        self._add_prompts(state)
        self._track(state, cached)

    def _add_prompts(self, state) -> None:
        for item in self.prompts.objects:
            for prompt in item.prompts:
                where = (state, prompt.frame_index, item.object_id)
                if prompt.mask is not None:
                    self.predictor.add_new_mask(*where, prompt.mask)
                    continue
                self.predictor.add_new_points_or_box(
                    *where, points=prompt.points_xy, labels=prompt.labels, box=prompt.box_xyxy
                )

    def _frames(self, state) -> Iterator[tuple[int, list[int], np.ndarray]]:
        start = self.prompts.frames[-1]
        if self.options.direction == "both":
            return self.predictor.propagate_both(state)
        if self.options.direction == "forward":
            return self.predictor.propagate_in_video(state)
        if start == 0:  # backward from frame 0 SAM 2 yields nothing, not even the prompted frame
            return self.predictor.propagate_in_video(state, 0, max_frame_num_to_track=0)
        return self.predictor.propagate_in_video(state, start, reverse=True)

    def _track(self, state, cached: bool) -> None:
        progress = Progress("tracking", self.steps)
        start, compiled = time.perf_counter(), self.predictor.timings["compile_seconds"]
        try:
            for frame_index, object_ids, mask_logits in self._frames(state):
                self.masks.add(frame_index, object_ids, np.asarray(mask_logits))
                if self.classes is not None:
                    said = self.predictor.class_probabilities(state)
                    self.classes.add(frame_index, object_ids, np.asarray(mask_logits), said)
                now, total = time.perf_counter(), self.predictor.timings["compile_seconds"]
                self.total_ms[frame_index] += 1000 * (now - start - (total - compiled))
                self.visited[frame_index] = True
                start, compiled = now, total
                if self.first is None:
                    self.first = frame_index
                    note = " (cached for next time)" if cached else ""
                    self.say(f"compiling... done {total:.1f} s{note}")
                    progress.first_step()
                else:
                    progress.step()
        finally:
            progress.finish()

    def _fill(self) -> None:
        """Zero masks where this direction never comes; where it stopped short there are none."""
        planned = set(self.planned)
        self.masks.fill(t for t in range(self.source.num_frames) if t not in planned)

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

    def write_summary(self, stopped: str | None) -> dict[str, Any]:
        """Writes summary.json. `stopped` is there only where the run ended early."""
        visited = np.flatnonzero(self.visited)
        timed = visited[visited != self.first] if len(visited) > 1 else visited
        timings = self.predictor.timings
        present = self.masks.present.sum(0)
        summary: dict[str, Any] = {
            "frames": int(self.masks.written.sum()),
            "objects": [
                {"id": item.object_id, "name": item.name, "frames_present": int(count)}
                for item, count in zip(self.prompts.objects, present, strict=True)
            ],
            "compile_seconds": round(timings["compile_seconds"], 3),
            **_percentiles("step_ms", timings["step_ms"]),
            **_percentiles("total_ms", self.total_ms[timed]),
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


def _percentiles(name: str, values) -> dict[str, float | None]:
    """p50 and p95 in milliseconds; null where nothing was timed (a single image)."""
    if not len(values):
        return {f"{name}_p50": None, f"{name}_p95": None}
    p50, p95 = np.percentile(np.asarray(values, float), (50, 95))
    return {f"{name}_p50": round(float(p50), 3), f"{name}_p95": round(float(p95), 3)}
