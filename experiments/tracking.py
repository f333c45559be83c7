"""Tracks a video file and writes its results: what `experiments.track` and the demo call.

Path:    video + prompts file -> [tracking] -> masks/, overlay.mp4, sheet.png, summary.json
Axes:    none.
Units:   frames count from 0.
Errors:  ValueError, OSError or DeviceError before anything is written; TrackStopped where tracking
         could not go on, after what was done has been kept.
Source:  ours.
Differs: nothing appears in the output folder but whole results. What is being made lies in a hidden
         folder inside, from which the same command with --resume goes on after a kill.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import track_snapshot
from experiments.chosen_text_bank import about
from experiments.track_job import INTERRUPTED, MASK_FOLDERS, RESULTS, TrackJob
from experiments.track_options import TrackOptions, check_options, load_predictor
from experiments.track_settings import check_same, settings_of
from surgjax.evaluation.video_results import read_json
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.devices import (
    describe_devices,
    require_accelerator,
    unused_gpu,
)
from surgjax.inference.frames import FrameSource, open_video
from surgjax.inference.output_folder import OutputError, OutputFolder
from surgjax.inference.prompt_file import PromptError, PromptFile, read_prompts
from surgjax.memory.registry import options_for, stated

_RESERVE = 2**20  # bytes held back: on a full disk there is still room for summary and sheet


class TrackStopped(RuntimeError):
    """Tracking ended early; `summary` and the message say what was kept."""

    def __init__(self, message: str, summary: dict[str, Any]):
        super().__init__(message)
        self.summary = summary

    @property
    def is_interrupted(self) -> bool:
        """Whether the user stopped it, not the video."""
        return self.summary.get("stopped") == INTERRUPTED


def run(
    options: TrackOptions,
    load: Callable[[TrackOptions], Any] = load_predictor,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything but flag parsing. Returns what summary.json holds.

    ValueError or OSError for bad input, before anything is written; TrackStopped where tracking
    could not go on (a damaged frame, a full disk) after keeping what was done.
    """
    check_options(options)
    folder = OutputFolder(
        options.output,
        RESULTS,
        options.overwrite,
        marker=track_snapshot.FILE,
        resume=options.resume,
    )
    for name in ("video", "prompts", "checkpoint", "text_bank"):
        if isinstance(getattr(options, name), str | Path):
            folder.check_input(f"--{name}", getattr(options, name))
    with open_video(options.video) as source:
        return _run(options, folder, source, load, say)


def _run(options, folder: OutputFolder, source: FrameSource, load, say) -> dict[str, Any]:
    if source.num_frames is None:
        raise ValueError("a live stream has no end; use VideoPredictor for it.")
    rate = source.fps or options.fps
    policy = options_for(options.memory, options.memory_options, rate)
    options = dataclasses.replace(options, memory_options=policy)
    prompts = read_prompts(options.prompts, source.width, source.height, source.num_frames)
    _check_corrections(options, prompts)
    for path in (p.mask_path for item in prompts.objects for p in item.prompts):
        if path is not None:
            folder.check_input("mask", path)
    if options.resume and folder.unfinished is None and folder.has_content:
        return _finished(options, folder, source, prompts, load, say)
    cached = _announce(options, source, prompts, say)
    work = folder.open(recover=MASK_FOLDERS)
    try:
        kept = track_snapshot.read(work) if folder.unfinished is not None else None
        reserve = work / "reserve"
        reserve.write_bytes(bytes(_RESERVE))
        predictor = load(options)
        side, weights = predictor.config.image_size, options.checkpoint or "bundled weights"
        weights = "random weights: masks mean nothing" if options.random_weights else weights
        say(f"model: {predictor.config.name} ({weights}), {side} px, {options.precision}")
        say(f"memory: {stated(options.memory, policy)}")
        settings = settings_of(options, source, prompts, predictor)
        if kept is not None:
            check_same(folder.path, kept.settings, settings)
        job = TrackJob(options, source, prompts, predictor, work, settings, say)
        if job.classes is not None:
            say(about(job.classes.bank))
        if kept is not None:
            job.restore(kept)
            say(f"going on in {folder.path}: {job.done} of {job.steps} frames were tracked before")
        elif options.resume:
            say(f"nothing was begun in {folder.path}: starting with the first frame")
        stopped = job.work(cached, make_room=lambda: reserve.unlink(missing_ok=True))
        summary = job.write_summary(stopped)
    except BaseException:  # nothing was tracked, or the snapshot is kept
        folder.discard()
        raise
    lost = [item for item in job.expected if not (work / item).exists()]
    can_go_on = bool(stopped) and (work / track_snapshot.FILE).exists()
    results = folder.finish(keep_work=can_go_on)
    say("results:\n" + "\n".join(f"  {path}" for path in results))
    if job.fault is not None:
        raise RuntimeError(
            f"surgjax itself failed; what was done is in {folder.path}"
        ) from job.fault
    if stopped:
        kept_frames = f"{summary['frames']} of {source.num_frames} frames are kept in {folder.path}"
        missing = f", without {' and '.join(lost)}" if lost else ""
        hint = " The same command with --resume goes on." if can_go_on else ""
        raise TrackStopped(f"stopped: {stopped}; {kept_frames}{missing}.{hint}", summary)
    say(
        f"next: look at {folder.path / 'sheet.png'} and overlay.mp4. Where a mask goes wrong, add "
        f"a prompt on that frame to {options.prompts} and run again with --overwrite."
    )
    return summary


def _check_corrections(options: TrackOptions, prompts: PromptFile) -> None:
    """A correction is met only by a propagation that comes to its frame."""
    for item in prompts.objects:
        first, last = item.starts[0], item.starts[-1]
        for frame in (p.frame_index for p in item.prompts if p.is_correction):
            is_met = {"forward": frame >= first, "backward": frame <= last, "both": True}
            if not is_met[options.direction]:
                side = "before" if options.direction == "forward" else "after"
                start = first if options.direction == "forward" else last
                raise PromptError(
                    f"prompts {options.prompts}: object {item.object_id}, frame {frame}: a "
                    f"correction {side} frame {start}, where --direction={options.direction} "
                    "starts; --direction=both comes by."
                )


def _finished(options, folder: OutputFolder, source, prompts, load, say) -> dict[str, Any]:
    """A folder of results without anything to go on from: they must be those of this command."""
    path = folder.path / "summary.json"
    if not path.is_file():
        raise OutputError(
            f"--resume: output {folder.path} holds other things than a run of track; take another."
        )
    summary = read_json(path)
    if "stopped" in summary or "settings" not in summary:
        raise track_snapshot.CannotGoOn(
            f"--resume: the run in {folder.path} has left nothing to go on from; --overwrite "
            "begins again."
        )
    settings = settings_of(options, source, prompts, load(options))
    check_same(folder.path, summary["settings"], settings)
    say(f"{folder.path} is finished: {summary['frames']} frames; nothing to do.")
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
