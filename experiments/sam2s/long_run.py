"""Tracks the videos of a set with several weights and policies, and keeps the rows of each.

Path:    prepared set, weights -> long_tracking, long_scores -> [LongRun] -> OUTPUT/rows/*/*/*.json
Axes:    instance maps [H, W]; see `long_tracking`.
Units:   frames count from 0.
Errors:  ValueError naming the flag, set, file or video.
Source:  ours.
Differs: a finished video is a file for each of its policies; what is there is not tracked again,
         also when more policies, weights or videos are asked for later.
"""

import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.sam2s import long_scores
from experiments.sam2s.long_data import LabelledFrames, LongOptions, LongVideo, find_videos
from experiments.sam2s.long_scoring import track_video
from experiments.sam2s.long_tracking import PolicySpec, SharedTracker, parse_policies
from surgjax.checkpoints.atomic import atomic_file
from surgjax.data.reader import PreparedSet
from surgjax.evaluation.video_results import digest
from surgjax.inference.object_classes import ObjectClassifier
from surgjax.inference.programs import OBJECT_BUCKETS, bucket
from surgjax.inference.progress import Progress
from surgjax.inference.weights import load_weights
from surgjax.models.trained_bank import check_bank
from surgjax.models.variants import Sam2Config
from surgjax.text.text_bank import TextBank
from surgjax.train.averaged import EXPORT_FOLDER

FORMAT = 2
ROWS = "rows"
_DIGITS = 8  # of the sum of weights
Trackers = dict[tuple, SharedTracker]  # by all that is compiled in, see LongRun.tracker


@dataclasses.dataclass(frozen=True)
class Weights:
    """One set of weights, and its name in the tables."""

    label: str
    params: dict
    config: Sam2Config
    sha256: str

    @property
    def folder(self) -> str:
        """Where its rows lie; other weights beside it change nothing."""
        return f"{self.label.removesuffix(self._sum)}{self._sum}"

    @property
    def _sum(self) -> str:
        return f"-{self.sha256[:_DIGITS]}"


def file_name(text: str) -> str:
    """A label as part of a path."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", text)


def _name(path: str) -> str:
    """Of a file without its ending, of a run's export that of the run."""
    whole = Path(path)
    if whole.name == EXPORT_FOLDER:
        return f"{whole.absolute().parent.name}-{EXPORT_FOLDER}"
    return (whole.name if whole.is_dir() else whole.stem) or path


def load_all(options: LongOptions) -> list[Weights]:
    """All weights, named by file; where names repeat, also by what is in them.

    Every run's export has the same name, so there the run's folder counts.
    """
    names = [file_name(_name(path)) for path in options.checkpoints]
    found = []
    for path, name in zip(options.checkpoints, names, strict=True):
        params, config, sha256 = load_weights(path, options.image_size, False)
        label = f"{name}-{str(sha256)[:_DIGITS]}" if names.count(name) > 1 else name
        found.append(Weights(label, params, config, str(sha256)))
    if len({w.sha256 for w in found}) < len(found):
        raise ValueError(f"--checkpoints {list(options.checkpoints)}: two are the same weights.")
    return found


def settings_of(
    options: LongOptions, weights: Weights, spec: PolicySpec, bank: TextBank | None
) -> dict[str, Any]:
    """What the rows depend on, beside the video."""
    return {
        "dataset": options.dataset,
        "split": options.split,
        "objects": options.objects,
        "instruments": options.instruments,
        "returning": options.returning,
        "prompt": options.prompt,
        "min_area": options.min_area,
        "image_size": weights.config.image_size,
        "precision": options.precision,
        "weights": weights.sha256,
        "policy": spec.stated,
        "bank": None if bank is None else bank.sha256(),
    }


def rows_path(output: Path, weights: str, policy: str, video: str) -> Path:
    """Where the rows of a video lie."""
    return output / ROWS / weights / file_name(policy) / f"{video}.json"


def read_rows(path: Path, run: str) -> dict[str, Any] | None:
    """A finished video; None if it is not finished."""
    if not path.exists():
        return None
    value = json.loads(path.read_text())
    if (value.get("format"), value.get("run")) != (FORMAT, run):
        raise ValueError(f"{path}: rows of other settings or weights; take another --output.")
    return value


@dataclasses.dataclass(frozen=True)
class Unit:
    """One video to track with one set of weights under some policies."""

    video: LongVideo
    weights: Weights
    specs: tuple[PolicySpec, ...]


@dataclasses.dataclass
class LongRun:
    """Everything that is asked for, and the rows that are there."""

    options: LongOptions
    output: Path
    prepared: PreparedSet
    videos: list[LongVideo]
    specs: list[PolicySpec]
    weights: list[Weights]
    bank: TextBank | None
    rows: dict[tuple[str, str, str], dict[str, Any]]  # (weights, policy, video) -> file content

    @classmethod
    def open(cls, options: LongOptions, output: Path, bank: TextBank | None = None) -> "LongRun":
        """Checks everything, and reads what an earlier run left."""
        options.check()
        prepared, videos = find_videos(options)
        most = max(len(video.objects) for video in videos)
        bucket(most, OBJECT_BUCKETS, f"objects in a video of {options.dataset}")
        specs = parse_policies(options.memory, videos[0].entry.fps or None)
        rates = {video.entry.fps for video in videos}
        if "delta_s" in options.memory and len(rates) > 1:
            raise ValueError(f"--memory {options.memory}: delta_s, and videos at {sorted(rates)}.")
        made = cls(options, output, prepared, videos, specs, load_all(options), bank, {})
        if bank is not None and not any(w.config.semantic_token for w in made.weights):
            raise ValueError("--text_bank: none of --checkpoints has a semantic token.")
        for w in made.weights:
            if bank is not None and w.config.semantic_token:
                check_bank(bank, w.config.text_bank)
            for spec in specs:
                for video in videos:
                    path = rows_path(output, w.folder, spec.label, video.name)
                    found = read_rows(path, made.digest(w, spec, video))
                    if found is not None:
                        made.rows[w.label, spec.label, video.name] = found
        return made

    def digest(self, weights: Weights, spec: PolicySpec, video: LongVideo) -> str:
        """A short name of what the rows of a video depend on."""
        settings = settings_of(self.options, weights, spec, self.bank)
        return digest(settings | {"video": dataclasses.asdict(video.entry)})

    def missing(self) -> list[Unit]:
        """What this process has to track, video by video."""
        units = self.options.share.of([(v, w) for v in self.videos for w in self.weights])
        found = []
        for video, w in units:
            specs = [s for s in self.specs if (w.label, s.label, video.name) not in self.rows]
            if specs:
                found.append(Unit(video, w, tuple(specs)))
        return found

    def track(self, say: Callable[[str], None], trackers: Trackers | None = None) -> None:
        """Tracks what is missing, and writes every video when it is finished.

        trackers: compiled ones of an earlier run; those made here are added.
        """
        trackers = {} if trackers is None else trackers
        units = self.missing()
        say(f"{len(self.rows)} videos are there already, {len(units)} to track")
        total = sum(
            unit.video.entry.length - min(o.visible[0][0] for o in unit.video.objects)
            for unit in units
        )
        progress = Progress("long videos", total)
        for number, unit in enumerate(units):
            w = unit.weights
            tracker = self.tracker(w, say, trackers)
            start = time.perf_counter()
            self._track_unit(unit, tracker, progress)
            seconds = time.perf_counter() - start
            say(f"{number + 1}/{len(units)} {w.label} {unit.video.name}: {seconds:.0f} s")
        if units:
            progress.finish()

    def tracker(self, w: Weights, say: Callable[[str], None], trackers: Trackers) -> SharedTracker:
        """The tracker of this configuration, with these weights."""
        most = max(len(video.objects) for video in self.videos)
        slots = bucket(most, OBJECT_BUCKETS, "objects")  # an empty slot costs nothing
        options = self.options
        policies = tuple((s.label, s.stated) for s in self.specs)  # programs go by label
        key = (w.config, policies, slots, options.prompt, options.precision)
        if key not in trackers:
            trackers[key] = SharedTracker(
                w.params, w.config, self.specs, slots, options.prompt, options.precision
            )
        trackers[key].on_compile(lambda what: say(f"compiling {what}"))
        trackers[key].set_params(w.params)
        return trackers[key]

    def _track_unit(self, unit: Unit, tracker: SharedTracker, progress: Progress) -> None:
        w, video = unit.weights, unit.video
        classifier = None
        if self.bank is not None and w.config.semantic_token:
            classifier = ObjectClassifier(self.bank, w.params, w.config)
        labels = [spec.label for spec in unit.specs]
        source = LabelledFrames(self.prepared, video)
        found = track_video(tracker, source, video, self.options, labels, classifier, progress)
        for spec in unit.specs:
            value = {
                "format": FORMAT,
                "run": self.digest(w, spec, video),
                "video": video.name,
                "fps": video.entry.fps,
                "classes": [] if classifier is None else list(classifier.bank.names),
                "objects": [long_scores.to_dict(one) for one in found[spec.label]],
            }
            with atomic_file(rows_path(self.output, w.folder, spec.label, video.name)) as temporary:
                temporary.write_text(json.dumps(value) + "\n")
            self.rows[w.label, spec.label, video.name] = value
