"""The builder that every data set of this package derives from.

Path:    archive -> find -> Video, Frame -> [builder] -> records -> build
Axes:    see records.
Units:   `side` in pixels of the shorter image side; None keeps the archive's own images, byte by
         byte.
Errors:  ArchiveError before anything is built if the folder does not hold the data set;
         CorruptImage and LabelError while building, with the file's name.
Source:  tfds.core.ShardBasedBuilder, one shard per video; no TensorFlow.
Differs: `download_and_prepare` goes on where a killed build stopped, works in several processes,
         and writes the index clips.json (TFDS starts again, in one process).

A data set gives `CATEGORIES`, `find`, and `truth` (or, for labels over time, its own `example`).
"""

import dataclasses
import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from surgjax.data.index import SetIndex
from tfds_builders.kit import archive, build, records, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.report import Report
from tfds_builders.kit.shards import Shard, plan
from tfds_builders.kit.visible import visible


@dataclasses.dataclass(kw_only=True)
class SurgicalConfig(tfds.core.BuilderConfig):
    """A TFDS config with the size at which frames are stored."""

    side: int | None = None


def with_side(config: SurgicalConfig, side: int | None) -> SurgicalConfig:
    """The same config, frames shrunk to a shorter side of `side` pixels at most."""
    if side is None:
        return config
    if side < 32:
        raise ValueError(f"--side: expected at least 32 pixels, found {side}.")
    return dataclasses.replace(config, name=f"{config.name}_s{side}", side=side)


# Errors with which masks cannot be opened, or would each be told again.
_BLOCKING = ("missing", "corrupt", "layout", "label")


def instructions(folder: Path) -> str:
    """The README section `## Get the data`: what TFDS prints when the archive is not there."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, heading, rest = text.partition("## Get the data")
    if not heading:
        raise ValueError(f"{folder.name}/README.md lacks the section '## Get the data'.")
    return rest.split("\n## ")[0].strip()


class ArchiveBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Finds, checks and stores an archive. Arguments after `config`: see prepare_data."""

    VERSION = tfds.core.Version("1.0.0")
    FOLDER: ClassVar[Path]  # of the data set: README.md, splits/
    KNOWN_FILES: ClassVar[tuple[str, ...]] = ()  # globs of files in the archive that we do not read
    RECORDS_PER_SHARD: ClassVar[int] = 1  # single images share a shard until it holds so many
    NEEDS_ARCHIVE: ClassVar[bool] = True
    LICENCE: ClassVar[str] = ""
    CITATION: ClassVar[str] = ""

    BUILDER_CONFIGS: ClassVar[list[SurgicalConfig]] = [
        SurgicalConfig(name="full", description="Frames as in the archive.")
    ]

    @classmethod
    def configure(cls, config: SurgicalConfig, root: Path) -> SurgicalConfig:
        """The config completed by what only the archive tells; unchanged for most sets."""
        return config

    def __init__(
        self,
        *,
        partial=False,
        on_corrupt="stop",
        on_unknown_label="stop",
        jobs=1,
        say=None,
        **kwargs,
    ):
        for name, value in (("on_corrupt", on_corrupt), ("on_unknown_label", on_unknown_label)):
            if value not in ("stop", "skip"):
                raise ValueError(f"{name}: expected 'stop' or 'skip', found {value!r}.")
        self.partial, self.on_corrupt, self.jobs = bool(partial), on_corrupt, int(jobs)
        self.on_unknown_label, self.say = on_unknown_label, say
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)

    def __getstate__(self):
        names = ("partial", "on_corrupt", "on_unknown_label", "jobs", "say")
        return {**self._original_state, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state):
        config = state["config"]
        if isinstance(config, SurgicalConfig) and config in self.BUILDER_CONFIGS:
            state = {**state, "config": config.name}  # TFDS takes its own configs by name only
        self.__init__(**state)

    def leaves_out(self, error: ArchiveError) -> bool:
        """Whether the user chose to leave such a frame out rather than to stop."""
        wish = self.on_unknown_label if isinstance(error, LabelError) else self.on_corrupt
        return wish == "skip"

    # --- what a data set defines -------------------------------------------------------------

    def find(self, root: Path) -> list[Video]:
        """Every video of the archive, in the order of storing; ArchiveError if there is none."""
        raise NotImplementedError

    def features(self) -> tfds.features.FeaturesDict:
        """The record (see records)."""
        raise NotImplementedError

    def example(
        self, root: Path, video: Video, frame: Frame, opened: Any, size: tuple[int, int]
    ) -> dict[str, Any]:
        """The features of one frame beside the common ones; masks already at stored size.

        `size` is (width, height) of the frame in the archive.
        """
        raise NotImplementedError

    def check(self, root: Path, videos: list[Video], report: Report) -> None:
        """Published figures against the archive."""

    def named_splits(self, videos: list[Video]) -> dict[str, dict[str, str]]:
        """{NAME: {video_id or patient: split}}; the files beside official.txt unless overridden."""
        return splits.named(self.FOLDER)

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        """(frame, encoded image, anything `example` needs) in order; files unless overridden."""
        for frame in video.frames:
            yield frame, (root / frame.image).read_bytes(), None

    def object_entries(self, stored: dict[str, Any]) -> dict[int, tuple[str, bool]]:
        """{id: (category, is_instrument)} of one stored example, for the index."""
        return {}

    # --- what all of them share --------------------------------------------------------------

    @property
    def side(self) -> int | None:
        """Shorter side of stored frames, or None."""
        config = self.builder_config
        return config.side if isinstance(config, SurgicalConfig) else None

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(self.__doc__ or "").strip(),
            features=self.features(),
            homepage="",
            citation=self.CITATION,
            license=self.LICENCE,
        )

    def found(self, root: Path) -> list[Video]:
        """`find`, with the checks every data set needs."""
        videos = self.find(visible(root))
        if not videos:
            raise ArchiveError(f"{root}: no video or image of {self.name} found.\n{self.layout()}")
        seen: set[str] = set()
        for video in videos:
            if video.video_id in seen:
                raise ArchiveError(f"{root}: two videos are called {video.video_id}.")
            seen.add(video.video_id)
            if not video.frames:
                raise ArchiveError(f"{root}: video {video.video_id} has no frames.")
        return videos

    def layout(self) -> str:
        """The expected tree, from the README."""
        return f"Expected:\n{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"

    def examine(self, root: Path, *, labels: bool = False, say=None) -> Report:
        """Compares the tree with what the data set should be, without building anything.

        With `labels` every mask is decoded and its values are checked, too, unless files are
        missing or cannot be read at all: the report says so then.
        """
        report, root = Report(self.partial), visible(root)
        videos = self.found(root)
        report.fact("videos or images", len(videos))
        report.fact("frames", sum(len(video.frames) for video in videos))
        split_names = list(dict.fromkeys(video.split for video in videos))
        for name in split_names:
            report.fact(f"in split {name}", sum(video.split == name for video in videos))
        _tell_shared_patients(videos, report)
        if self.NEEDS_ARCHIVE:
            self._check_files(root, videos, report)
        self.check(root, videos, report)
        if labels and any(finding.kind in _BLOCKING for finding in report.errors):
            report.fact("images and masks", "not opened yet: first the errors below")
        elif labels:
            build.check_labels(self, root, videos, report, say)
        return report

    def _check_files(self, root: Path, videos: list[Video], report: Report) -> None:
        used: set[str] = set()
        for frame in (frame for video in videos for frame in video.frames):
            for name in (frame.image, *frame.labels):
                if name not in used and not (root / name).is_file():
                    report.error("missing", name, "a file", "nothing")
                used.add(name)
        extra = [
            name
            for path in sorted(root.rglob("*"))
            if path.is_file()
            and (name := path.relative_to(root).as_posix()) not in used
            and not any(fnmatch.fnmatch(name, pattern) for pattern in self.KNOWN_FILES)
        ]
        for name in extra:
            report.note("extra", name, "no such file", "a file that is not read")

    def common(self, video: Video, frame: Frame, position: int) -> dict[str, Any]:
        """Features that every record of a video has, the image apart."""
        return dict(
            video_id=video.video_id,
            source=self.name,
            source_frame=frame.source,
            procedure=video.procedure,
            patient=video.patient,
            frame_index=position,
            time_s=frame.time_s,
            fps=video.fps,
        )

    def shards(self, videos: list[Video]) -> list[Shard]:
        """One shard per video; single images share shards."""
        return plan(videos, self.RECORDS_PER_SHARD)

    def _shard_iterators_per_split(self, dl_manager):
        raise NotImplementedError("Building goes through _download_and_prepare.")

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        root = visible(Path(dl_manager.manual_dir) if self.NEEDS_ARCHIVE else Path())
        self.examine(root).raise_if_errors(self.name, root)
        build.build(self, root, Path(self.data_dir))

    def _post_download_and_prepare_hook(self) -> None:
        build.clean(self)

    def index_of(self, by_split, videos: list[Video]) -> SetIndex:
        """The index, with the named splits' ids resolved to videos."""
        named: dict[str, tuple[str, ...]] = {}
        stored = {entry.video_id: entry for entries in by_split.values() for entry in entries}
        for name, table in self.named_splits(videos).items():
            for split in dict.fromkeys(table.values()):
                named[f"{split}_{name}"] = tuple(
                    video_id
                    for video_id, entry in stored.items()
                    if table.get(video_id, table.get(entry.patient)) == split
                )
        return SetIndex(self.name, {k: tuple(v) for k, v in by_split.items()}, named)


def _tell_shared_patients(videos: list[Video], report: Report) -> None:
    """Patients on two sides of the split on disk; some official splits have them."""
    splits_of: dict[str, set[str]] = {}
    for video in videos:
        splits_of.setdefault(video.patient, set()).add(video.split)
    for patient, places in splits_of.items():
        if len(places) > 1:
            report.note("layout", f"patient {patient}", "one split", ", ".join(sorted(places)))


class MaskBuilder(ArchiveBuilder, skip_registration=True):
    """Sets with masks. `CATEGORIES` maps each name to True for instruments, False for tissue."""

    CATEGORIES: ClassVar[dict[str, bool]]
    ID_DTYPE: ClassVar[type] = np.uint8
    IS_VIDEO: ClassVar[bool] = True

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        """The masks of an annotated frame, at the archive's size."""
        raise NotImplementedError

    def extra_features(self) -> dict[str, Any]:
        """Features beyond the shared record; filled by `FrameTruth.extra`."""
        return {}

    def empty_extra(self, height: int, width: int) -> dict[str, Any]:
        """Values of `extra_features` on frames without annotation."""
        return {}

    def features(self):
        make = records.video_features if self.IS_VIDEO else records.image_features
        return make(list(self.CATEGORIES), id_dtype=self.ID_DTYPE, extra=self.extra_features())

    def common(self, video: Video, frame: Frame, position: int) -> dict[str, Any]:
        values = super().common(video, frame, position)
        if not self.IS_VIDEO:
            for name in ("frame_index", "time_s", "fps"):
                del values[name]
        return values

    def example(self, root, video, frame, opened, size) -> dict[str, Any]:
        if frame.is_annotated:
            truth = self.truth(root, video, frame, opened)
            instances = self._checked(truth, frame, size)
        else:
            width, height = size
            truth = FrameTruth(np.zeros((height, width), self.ID_DTYPE), {})
            truth.extra = self.empty_extra(height, width)
            instances = truth.instances
        small = archive.shrink_labels(instances, self.side)
        ignore = records.largest(self.ID_DTYPE)
        ids = [int(value) for value in np.unique(small) if value not in (0, ignore)]
        names = [truth.objects[value] for value in ids]
        return dict(
            is_annotated=frame.is_annotated,
            instances=archive.encode_labels(small),
            instance_ids=ids,
            category=names,
            is_instrument=[self.CATEGORIES[name] for name in names],
            **truth.extra,
        )

    def _checked(self, truth: FrameTruth, frame: Frame, size) -> np.ndarray:
        where = frame.labels[0] if frame.labels else frame.source
        found = truth.instances.shape[::-1]
        if found != size:
            raise LabelError(
                f"{where}: wrong size: the mask is {found[0]}x{found[1]}, "
                f"its image {size[0]}x{size[1]}."
            )
        ignore = records.largest(self.ID_DTYPE)
        if truth.instances.max(initial=0) > ignore:
            raise LabelError(
                f"{where}: object {truth.instances.max()} does not fit {self.ID_DTYPE.__name__}."
            )
        for value in np.unique(truth.instances):
            if value in (0, ignore):
                continue
            name = truth.objects.get(int(value))
            if name not in self.CATEGORIES:
                raise LabelError(
                    f"{where}: unknown label: value {value} is called {name!r}; expected one of "
                    f"{', '.join(self.CATEGORIES)}."
                )
        return truth.instances.astype(self.ID_DTYPE)

    def object_entries(self, stored):
        return {
            number: (name, is_instrument)
            for number, name, is_instrument in zip(
                stored["instance_ids"], stored["category"], stored["is_instrument"], strict=True
            )
        }
