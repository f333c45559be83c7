"""Tracks a list of videos, each once: the model is loaded once, a failure costs one video.

Path:    list, options -> tracking, video by video -> [many_videos] -> videos/, results/, report
Axes:    none.
Units:   frames, seconds of wall time.
Errors:  ValueError before any video is tracked: the list, the flags, a folder of another run.
         What goes wrong with one video is in the report, and the others go on.
Source:  ours.
Differs: nothing to compare with. A video is finished when its file in results/ says so; one that
         was interrupted goes on from its snapshot, see `tracking`.
"""

import dataclasses
import hashlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments import tracking
from experiments.track_options import TrackOptions, check_options, load_predictor
from experiments.track_settings import model_settings
from experiments.track_snapshot import CannotGoOn
from experiments.video_list import ListedVideo, read_list
from surgjax.checkpoints.atomic import atomic_file
from surgjax.evaluation.shares import Share
from surgjax.evaluation.video_results import (
    RESULTS,
    check_run,
    read_json,
    result_path,
    write_run,
)
from surgjax.inference.progress import clock_text
from surgjax.memory.registry import options_for

VIDEOS, REPORT = "videos", "report.json"
DONE, FAILED, MISSING = "done", "failed", "missing"
_STARTED = ("video_bytes", "prompts_sha256")  # of a finished video, while its files are there


class Predictors:
    """One for all videos; another only where a memory policy depends on a video's frame rate."""

    def __init__(self, load: Callable[[TrackOptions], Any]):
        self._load, self._made = load, {}

    def __call__(self, options: TrackOptions) -> Any:
        key = options.memory_options
        if key not in self._made:
            self._made[key] = self._load(options)
        return self._made[key]


@dataclasses.dataclass
class ManyVideos:
    """One run over one list in one folder; `options` are those of each video."""

    videos: list[ListedVideo]
    output: Path
    options: TrackOptions
    share: Share
    predictors: Predictors

    @classmethod
    def open(
        cls,
        list_path: str,
        output: str,
        options: TrackOptions,
        share: Share | None = None,
        load: Callable[[TrackOptions], Any] = load_predictor,
    ) -> "ManyVideos":
        """Checks the flags and the list; nothing is loaded or written yet."""
        check_options(options)
        videos, folder = read_list(list_path), Path(output)
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"--output {folder} is a file; a folder expected.")
        made = cls(videos, folder, options, share or Share(), Predictors(load))
        for video in videos:
            for name in ("video", "prompts"):
                _check_input(folder, name, getattr(video, name))
            made.result(video)
        return made

    # ---- what is known of a video --------------------------------------------------------------

    def folder(self, video: ListedVideo) -> Path:
        """Where its results are."""
        return self.output / VIDEOS / video.name

    def result(self, video: ListedVideo) -> dict[str, Any]:
        """What an earlier run says of it; refuses results of something else under its name."""
        path = result_path(self.output, video.name)
        if not path.exists():
            return {"output": video.name, "status": MISSING}
        found = read_json(path)
        if found.get("status") != DONE:
            return found
        now = _inputs(video)
        for key, value in now.items():
            if found.get(key) != value and not (key in _STARTED and value is None):
                raise ValueError(
                    f"{path}: {key} was {found.get(key)!r} when this video was tracked and is "
                    f"{value!r} now; to track it again, remove this file and {self.folder(video)}."
                )
        if not (self.folder(video) / "summary.json").is_file():
            return found | {"status": MISSING}
        return found

    # ---- the work ------------------------------------------------------------------------------

    def run(self, say: Callable[[str], None] = print) -> int:
        """Tracks what this process has still to do. Returns how many of its videos failed."""
        mine = self.share.of(self.videos)
        left = [video for video in mine if self.result(video)["status"] != DONE]
        part = f" of {len(self.videos)} (share {self.share})" if self.share.count > 1 else ""
        before = len(mine) - len(left)
        say(f"videos: {len(mine)}{part}, {before} finished before, {len(left)} to go")
        policy = options_for(self.options.memory, self.options.memory_options, self.options.fps)
        first = dataclasses.replace(self.options, memory_options=policy)
        settings = model_settings(self.options, self.predictors(first))
        check_run(self.output, settings)
        write_run(self.output, settings)
        try:
            self._track_all(left, say)
        finally:
            report = self.write_report()
        say(table(report["videos"]))
        say(
            f"{report['done']} of {len(self.videos)} videos are done, {report['failed']} failed, "
            f"{report['missing']} missing; {self.output / REPORT}, masks in {self.output / VIDEOS}"
        )
        return sum(self.result(video)["status"] == FAILED for video in mine)

    def _track_all(self, left: Sequence[ListedVideo], say: Callable[[str], None]) -> None:
        start, frames = time.monotonic(), 0
        for number, video in enumerate(left, 1):
            say(f"{number} of {len(left)}: {video.name}, {video.video}")
            found = self._track_one(video)
            frames += found["frames"] or 0
            spent = time.monotonic() - start
            rest = clock_text(spent / number * (len(left) - number))
            what = found["reason"] or f"{found['frames']} frames, {found['frames_per_second']} /s"
            say(
                f"{video.name}: {found['status']}, {what}\n"
                f"videos: {number}/{len(left)}, {frames / spent:.1f} frames/s, {rest} left"
            )

    def _track_one(self, video: ListedVideo) -> dict[str, Any]:
        """Tracks it, or goes on with it; writes and returns what came of it."""
        found: dict[str, Any] = {"output": video.name, "status": FAILED, **_inputs(video)}
        found |= {"frames": None, "seconds": None, "frames_per_second": None, "reason": None}
        summary = None
        try:
            summary = self._tracked(video)
            found["status"] = DONE
        except tracking.TrackStopped as stopped:
            if stopped.is_interrupted:
                raise KeyboardInterrupt from None
            summary, found["reason"] = stopped.summary, str(stopped)
        except (ValueError, OSError) as error:
            found["reason"] = str(error)
        except Exception as error:  # ours or a library's: the other videos may be well
            traceback.print_exc(file=sys.stderr)
            found["reason"] = f"{type(error).__name__}: {error}"
        if summary is not None:
            frames, seconds = summary["frames"], summary["seconds"]
            found |= {"frames": frames, "seconds": seconds}
            found["frames_per_second"] = round(frames / seconds, 2) if seconds else None
        with atomic_file(result_path(self.output, video.name)) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
        return found

    def _tracked(self, video: ListedVideo) -> dict[str, Any]:
        options = dataclasses.replace(
            self.options,
            video=str(video.video),
            prompts=str(video.prompts),
            output=str(self.folder(video)),
            resume=True,
        )
        try:
            return tracking.run(options, self.predictors, _quiet)
        except CannotGoOn:
            summary = self.folder(video) / "summary.json"
            if summary.is_file() and "stopped" not in read_json(summary):
                raise  # it is finished, and of something else
        options = dataclasses.replace(options, resume=False, overwrite=True)
        return tracking.run(options, self.predictors, _quiet)

    # ---- the report ----------------------------------------------------------------------------

    def write_report(self) -> dict[str, Any]:
        """report.json over the whole list, whoever tracked it; the last process writes it whole."""
        rows = [self.result(video) for video in self.videos]
        counts = {s: sum(row["status"] == s for row in rows) for s in (DONE, FAILED, MISSING)}
        report = {**counts, "videos": rows}
        with atomic_file(self.output / REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
        return report


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Video, frames, frames per second, status and reason, as aligned text."""
    wide = max(len("video"), *(len(row["output"]) for row in rows))
    lines = [f"{'video':<{wide}}    frames  frames/s  status   reason"]
    for row in rows:
        frames, rate = row.get("frames"), row.get("frames_per_second")
        cells = f"{'-' if frames is None else frames:>9} {'-' if rate is None else rate:>9}"
        said = f"{row['status']:<7}  {row.get('reason') or ''}"
        lines.append(f"{row['output']:<{wide}} {cells}  {said}".rstrip())
    return "\n".join(lines)


def _inputs(video: ListedVideo) -> dict[str, Any]:
    """What a result belongs to; None for a file that is not there any more."""
    prompts, size = None, None
    if video.prompts.is_file():
        prompts = hashlib.sha256(video.prompts.read_bytes()).hexdigest()
    if video.video.is_file():
        size = video.video.stat().st_size
    paths = {"video": str(video.video), "prompts": str(video.prompts)}
    return paths | {"video_bytes": size, "prompts_sha256": prompts}


def _check_input(output: Path, name: str, path: Path) -> None:
    made = [(output / part).resolve() for part in (VIDEOS, RESULTS)]
    found = path.resolve()
    if any(folder == found or folder in found.parents for folder in made):
        raise ValueError(f"{name} {path} lies in the results to be written in --output {output}.")


def _quiet(text: str) -> None:
    """What `track` says of one video; the report says what matters of many."""
