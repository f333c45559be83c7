"""TFDS builder of sets made from one background and a few instrument cut-outs.

Path:    surgjax.synthetic.single_background -> [single_background] -> images or pseudo-videos
Axes:    instances [S, S] uint8: instruments in the order they were laid down.
Units:   `size` in pixels; item i depends on the seed and i alone.
Errors:  ArchiveError that names the file or the setting.
Source:  Wang et al., arXiv:2206.11804.
Differs: nothing is published: the archive is a folder of yours, and settings.json in it says how
         many items to draw, and how.
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from surgjax.synthetic.single_background import (
    SingleBackground,
    SingleBackgroundConfig,
    read_background,
    read_cutouts,
)
from tfds_builders.kit import json_files, video_files
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

CUTOUTS, LABELS, SETTINGS = "cutouts", "labels.json", "settings.json"
DEFAULT_NAME = "instrument"
_IMAGES = (".jpg", ".jpeg", ".png")
_FIRST = {"train": 0, "val": 1_000_000}  # item numbers
_FPS = 25.0


@dataclasses.dataclass(kw_only=True)
class SetConfig(SurgicalConfig):
    """How many items of each split, how long they are, and how the generator draws them."""

    train: int
    val: int
    frames: int = 1  # of each item; 1: single images
    seed: int = 0
    settings: SingleBackgroundConfig = dataclasses.field(default_factory=SingleBackgroundConfig)
    labels: dict[int, str] | None = None  # value in the masks: name; None: all are instruments


class Builder(MaskBuilder):
    """Images or pseudo-videos of your instruments over your background."""

    name = "single_background"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = (LABELS, SETTINGS, "README*", "*.txt")
    LICENCE = "That of your pictures."
    BUILDER_CONFIGS = [
        SetConfig(name="images", train=2000, val=200, description="Single images."),
        SetConfig(name="videos", train=40, val=8, frames=48, description="Pseudo-videos."),
    ]

    @classmethod
    def configure(cls, config: SurgicalConfig, root: Path) -> SurgicalConfig:
        """The config `own_images` or `own_videos`, with what labels.json and settings.json say."""
        names, changes = _object(root / LABELS), _object(root / SETTINGS)
        if not isinstance(config, SetConfig) or not (names or changes):
            return config
        known = [item.name for item in cls.BUILDER_CONFIGS]
        if strange := sorted(set(changes) - set(known)):
            raise ArchiveError(f"{root / SETTINGS}: expected the keys {known}, found {strange}.")
        config = dataclasses.replace(config, labels=_labels(root / LABELS, names) or None)
        changed = _changed(config, changes.get(config.name, {}), root / SETTINGS)
        return dataclasses.replace(changed, name=f"own_{config.name}")

    @property
    def _config(self) -> SetConfig:
        config = self.builder_config
        if not isinstance(config, SetConfig):
            raise TypeError(f"Expected a SetConfig, found {type(config).__name__}.")
        return config

    @property
    def CATEGORIES(self) -> dict[str, bool]:  # noqa: N802  (a class constant elsewhere)
        return dict.fromkeys((self._config.labels or {0: DEFAULT_NAME}).values(), True)

    @property
    def IS_VIDEO(self) -> bool:  # noqa: N802
        return self._config.frames > 1

    @property
    def RECORDS_PER_SHARD(self) -> int:  # noqa: N802
        return 1 if self.IS_VIDEO else 256

    def find(self, root: Path) -> list[Video]:
        config = self._config
        background = _background(root).relative_to(root).as_posix()
        files = tuple(path.relative_to(root).as_posix() for path in _cutout_files(root))
        fps = _FPS if self.IS_VIDEO else 0.0
        videos = []
        for split, count in (("train", config.train), ("val", config.val)):
            for number in range(_FIRST[split], _FIRST[split] + count):
                frames = tuple(
                    Frame(background, f"{number}/{t:05d}", files, time_s=t / fps if fps else 0.0)
                    for t in range(config.frames)
                )
                name = f"{split}_{number:07d}"
                note = (number, config.seed, config.settings, config.labels)  # of what is drawn
                videos.append(Video(name, split, frames, "generated", name, fps, note))
        return videos

    def check(self, root, videos, report):
        try:
            report.fact("cut-outs", len(self._generator(root).cutouts))
        except ArchiveError as error:
            report.error("corrupt", CUTOUTS, "a background and cut-outs", error)

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        generator, number = self._generator(root), video.note[0]
        try:
            item = generator.clip(number, len(video.frames))
        except ValueError as error:
            raise ArchiveError(f"{root / CUTOUTS}: {error}") from error
        for t, frame in enumerate(video.frames):
            yield frame, video_files.encode(item.frames_u8[t][..., ::-1]), (item, t)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        item, t = opened
        labels = self._config.labels
        names = [labels[value] if labels else DEFAULT_NAME for value in item.categories]
        return FrameTruth(item.label_maps[t], dict(enumerate(names, 1)))

    def _generator(self, root: Path) -> SingleBackground:
        config = self._config
        files = (_background(root), *_cutout_files(root))
        stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        labels = tuple((config.labels or {}).items())
        return _make(root, stamps, labels, config.settings, config.seed)


@functools.lru_cache(maxsize=2)  # images of one shard share it; `stamps` notice changed files
def _make(root: Path, stamps, labels, settings: SingleBackgroundConfig, seed: int):
    cv2.setNumThreads(1)  # several processes build at once
    try:
        cutouts = read_cutouts(root / CUTOUTS, dict(labels) or None)
        return SingleBackground(read_background(stamps[0][0]), cutouts, settings, seed)
    except ValueError as error:
        raise ArchiveError(f"{root}: {error}") from error


def _background(root: Path) -> Path:
    found = [path for path in sorted(root.glob("background.*")) if path.suffix.lower() in _IMAGES]
    if len(found) != 1:
        raise ArchiveError(
            f"{root}: expected one file background.jpg or background.png, found {len(found)}."
        )
    return found[0]


def _cutout_files(root: Path) -> list[Path]:
    folder = root / CUTOUTS
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in _IMAGES)


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is no file."""
    return json_files.read(path) if path.exists() else {}


def _labels(path: Path, names: dict[str, Any]) -> dict[int, str]:
    result = {}
    for key, name in names.items():
        if not key.isdecimal() or not 1 <= int(key) <= 255 or not isinstance(name, str) or not name:
            raise ArchiveError(f"{path}: expected a value of 1 to 255 and a name, found {key!r}.")
        result[int(key)] = name
    return dict(sorted(result.items()))


def _changed(config: SetConfig, changes: Any, path: Path) -> SetConfig:
    """The config with one entry of settings.json: own keys, or those of SingleBackgroundConfig."""
    own = ("train", "val", "frames", "seed")
    drawing = [
        field.name
        for field in dataclasses.fields(SingleBackgroundConfig)
        if not dataclasses.is_dataclass(getattr(config.settings, field.name))
    ]
    where = f"{path}: {config.name}"
    if not isinstance(changes, dict) or set(changes) - {*own, *drawing}:
        raise ArchiveError(f"{where}: expected some of {[*own, *drawing]}, found {changes!r}.")
    counts = {key: changes[key] for key in own if key in changes}
    for key, value in counts.items():
        least = 1 if key == "frames" else 0
        if type(value) is not int or value < least:
            raise ArchiveError(f"{where}, {key}: expected a whole number from {least}: {value!r}.")
    values = {
        key: tuple(changes[key]) if isinstance(changes[key], list) else changes[key]
        for key in drawing
        if key in changes
    }
    try:
        settings = dataclasses.replace(config.settings, **values)
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{where}: {error}") from error
    return dataclasses.replace(config, settings=settings, **counts)
