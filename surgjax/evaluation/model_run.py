"""A model over a data set: videos shared between processes and devices, and finished one by one.

Path:    LabelledVideo, Segmenter -> [evaluate] -> masks/, results/, then model_report
Axes:    none.
Units:   frames, seconds of wall time.
Errors:  ValueError and MaskFolderError before tracking starts where they can be known; what a model
         or a file raises later ends the run, and the same command goes on after the last video.
Source:  ours.
Differs: nothing to compare with. A video belongs to one process and is taken by one device of it;
         only its rows of scores are kept, so memory does not grow with the number of videos.
"""

import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from surgjax.evaluation import mask_folders, object_folders, video_results
from surgjax.evaluation.corrected_videos import Rounds, track_rounds
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.horizons import BOUNDS_S, check_bounds
from surgjax.evaluation.interactive import Offline
from surgjax.evaluation.labelled_videos import LabelledVideo, Truth
from surgjax.evaluation.mask_folders import Pair, SequenceFiles
from surgjax.evaluation.model_tracking import PromptOptions, track_video
from surgjax.evaluation.predicted_masks import PredictedMasks
from surgjax.evaluation.segmenter import Segmenter
from surgjax.evaluation.shares import Share
from surgjax.evaluation.video_results import VideoResult
from surgjax.inference.progress import Progress
from surgjax.metrics.object_scores import PRESETS

MASKS, TRUTH = "masks", "ground_truth"


@dataclasses.dataclass(frozen=True)
class Model:
    """What is evaluated. `make` is called once for each device, while it is the default one."""

    name: str
    identity: Mapping[str, Any]  # all that its masks depend on; for run.json
    make: Callable[[], Segmenter]


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How it is evaluated."""

    prompts: PromptOptions = dataclasses.field(default_factory=PromptOptions)
    protocol: str = "davis17"
    keep_first_and_last: bool = False
    per_object_png: bool = False  # a folder for each object, whose masks may then overlap
    horizons_s: tuple[float, ...] = BOUNDS_S

    def check(self) -> None:
        """Refuses what does not fit, before anything is read."""
        self.prompts.check()
        if self.protocol not in PRESETS:
            raise ValueError(
                f"--protocol {self.protocol}: expected one of {', '.join(PRESETS)}; for others, "
                "score the masks of a run with experiments.evaluate."
            )
        used = PROTOCOLS[self.protocol].options
        if self.keep_first_and_last and "keep_first_and_last" not in used:
            raise ValueError(f"--keep_first_and_last: protocol {self.protocol} does not use it.")
        check_bounds(self.horizons_s)

    @property
    def min_frames(self) -> int:
        """Annotated frames that a video needs."""
        drops = PRESETS[self.protocol].drop_first_and_last and not self.keep_first_and_last
        return 3 if drops else 1


class _Stopped(Exception):
    """Another device has failed."""


class _Shown:
    """Progress over all devices of this process."""

    def __init__(self, total: int, stop: threading.Event):
        self._progress, self._lock, self._stop = (
            Progress("evaluated", total),
            threading.Lock(),
            stop,
        )

    def step(self) -> None:
        """A frame was tracked; the first one took compiling and is no measure of speed."""
        if self._stop.is_set():
            raise _Stopped
        with self._lock:
            if not self._progress.done:
                self._progress.first_step()
            else:
                self._progress.step()

    def settle(self, expected: int, tracked: int) -> None:
        """A video is finished that took other frames than were expected of it."""
        with self._lock:
            self._progress.total += tracked - expected

    def finish(self) -> None:
        """The last line."""
        self._progress.finish()


class _Counted:
    """The frames of one video."""

    def __init__(self, shown: _Shown):
        self.count, self._shown = 0, shown

    def __call__(self) -> None:
        self.count += 1
        self._shown.step()


class Evaluation:
    """One run in one folder."""

    def __init__(
        self,
        output: str | Path,
        videos: Sequence[LabelledVideo],
        model: Model,
        data: Mapping[str, Any],
        options: RunOptions,
    ):
        """`data` says where the videos come from, as far as their pixels depend on it."""
        options.check()
        if not videos:
            raise ValueError("no video to evaluate.")
        self.output, self.videos, self.model = Path(output), list(videos), model
        self.options = options
        self.settings = {
            "model": dict(model.identity),
            "data": dict(data),
            "prompts": options.prompts.identity(options.protocol),
            "per_object_png": options.per_object_png,
        }
        self.run = video_results.digest(self.settings)
        self._corrections = options.prompts.corrections(options.protocol)

    def result(self, video: LabelledVideo) -> VideoResult | None:
        """What is known of a video; None if it must be (or be again) tracked."""
        found = video_results.read_result(self.output, self.run, video.name)
        if found is None:
            return None
        if found.stems != video.stems:
            path = video_results.result_path(self.output, video.name)
            raise ValueError(
                f"{path}: the video had {len(found.stems)} frames, {found.stems[0]} first; now it "
                f"has {len(video.stems)}, {video.stems[0]} first. Remove this file and its masks."
            )
        if not self._has_masks(found):
            return None
        return dataclasses.replace(found, fps=video.fps)

    def _has_masks(self, result: VideoResult) -> bool:
        """Whether every PNG of a finished video is still there."""
        folder = self.output / MASKS / result.video
        files = mask_folders.find_sequence(folder, result.video) if folder.is_dir() else None
        if files is None:
            return False
        if not self.options.per_object_png:
            return set(files.frames) == set(result.stems)
        shown = {i for rows in result.rows for i, row in rows.items() if row and row.in_target}
        return shown <= set(files.objects) and all(
            set(side) == set(result.stems) for side in files.objects.values()
        )

    def pair(self, video: LabelledVideo, target: SequenceFiles | None = None) -> Pair:
        """Ground truth and masks of a finished video."""
        target = target or video.open_truth(self.output / TRUTH)
        found = mask_folders.find_sequence(self.output / MASKS / video.name, video.name)
        return Pair(video.name, target, found, tuple(target.stems))

    def track(
        self,
        share: Share | None = None,
        devices: Sequence[Any] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Tracks and scores what this process has still to do."""
        share, devices = share or Share(), devices or jax.local_devices()
        video_results.check_run(self.output, self.settings)
        mine = share.of(self.videos, key=lambda video: (-len(video.stems), video.name))
        left = [video for video in mine if self.result(video) is None]
        part = f" of {len(self.videos)} (part {share.index + 1} of {share.count})"
        say(
            f"videos: {len(mine)}{part * (share.count > 1)}, {len(mine) - len(left)} finished "
            f"before, {sum(len(video.stems) for video in left)} frames to go"
        )
        for video in left:
            if not video.is_checked:
                self._check(video)
        if left:
            video_results.write_run(self.output, self.settings)
            self._work(left, devices[: len(left)])
        share.wait("videos evaluated")

    def _check(self, video: LabelledVideo) -> None:
        with video.open_frames() as source:
            size = (source.height, source.width)
        truth = Truth(video, video.open_truth(self.output / TRUTH))
        if truth.files.objects and self._corrections is not None:
            raise mask_folders.MaskFolderError(
                f"{truth.files.folder}: a folder of masks for each object; interactive rounds need "
                "label maps."
            )
        if truth.files.objects and not self.options.per_object_png:
            raise mask_folders.MaskFolderError(
                f"{truth.files.folder}: a folder of masks for each object; masks may overlap, and "
                "a palette PNG cannot hold them: --per_object_png is needed."
            )
        truth.check(size, self.options.min_frames)

    def _expected(self, video: LabelledVideo) -> int:
        """Frames to track, at most."""
        passes = self._corrections.rounds if isinstance(self._corrections, Offline) else 1
        return passes * len(video.stems)

    def _work(self, videos: Sequence[LabelledVideo], devices: Sequence[Any]) -> None:
        """One worker for each device; the first error ends all of them."""
        left, stop = collections.deque(videos), threading.Event()
        shown = _Shown(sum(map(self._expected, videos)), stop)

        def work(device: Any) -> None:
            with jax.default_device(device):
                segmenter = self.model.make()
                while left and not stop.is_set():
                    try:
                        video = left.popleft()
                    except IndexError:  # another device was faster
                        return
                    self._evaluate(segmenter, video, shown)

        try:
            if len(devices) == 1:
                work(devices[0])
                return
            with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
                try:
                    futures = [pool.submit(work, device) for device in devices]
                    for future in concurrent.futures.as_completed(futures):
                        if not isinstance(future.exception(), _Stopped):
                            future.result()
                except BaseException:
                    stop.set()
                    raise
        finally:
            shown.finish()

    def _evaluate(self, segmenter: Segmenter, video: LabelledVideo, shown: _Shown) -> None:
        """Tracks one video, scores what was written, writes its result."""
        begun = time.monotonic()
        truth = Truth(video, video.open_truth(self.output / TRUTH))
        with video.open_frames() as source:
            size = (source.height, source.width)
            truth.check(size, self.options.min_frames)
            masks = PredictedMasks(
                self.output / MASKS,
                video.name,
                video.stems,
                truth.object_ids,
                size,
                self.options.per_object_png,
            )
            arguments = (segmenter, video, truth, source)
            tracked = _Counted(shown)
            if self._corrections is None:
                prompts = self.options.prompts
                rounds = Rounds(track_video(*arguments, prompts, masks, tracked), (), (), (), ())
            else:
                rounds = track_rounds(*arguments, self._corrections, masks, tracked)
            shown.settle(self._expected(video), tracked.count)
        rows, _ = object_folders.object_rows(self.pair(video, truth.files))
        result = VideoResult(
            video.name,
            video.stems,
            truth.annotated,
            {i: tuple(frames) for i, frames in rounds.prompted.items()},
            video.fps,
            tuple(rows[k] for k in range(len(truth.annotated))),
            rounds.notes,
            rounds.rows,
            rounds.clicks,
            rounds.stops,
            time.monotonic() - begun,
        )
        video_results.write_result(self.output, self.run, result)

    def results(self) -> list[VideoResult]:
        """The results of all videos; refused while one is missing."""
        found = [(video, self.result(video)) for video in self.videos]
        missing = [video.name for video, result in found if result is None]
        if missing:
            raise ValueError(
                f"--output {self.output}: {len(missing)} of {len(found)} videos have no result, "
                f"{missing[0]} first. Processes must share this folder; the same command goes on."
            )
        return [result for _, result in found if result is not None]
