"""One shard: which videos it holds, its records, and their entries of the index.

Path:    archive -> plan, [shards] -> build -> array_record shards
Axes:    one record per frame; shard k of a split holds the split's k-th video or group of images.
Units:   sizes in pixels, width x height; positions of frames within a shard.
Errors:  CorruptImage and LabelError of a frame, unless the builder leaves such frames out.
Source:  ours.
"""

import dataclasses
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from surgjax.checkpoints.atomic import atomic_file
from surgjax.data import index
from tfds_builders.kit import archive
from tfds_builders.kit.archive import CorruptImage, LabelError, Video


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """What one file will hold."""

    split: str
    number: int  # within the split
    videos: tuple[Video, ...]


def plan(videos: list[Video], records_per_shard: int) -> list[Shard]:
    """Videos in order, each in a shard of its own or together until a shard is full."""
    shards: list[Shard] = []
    by_split: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        by_split[video.split].append(video)
    for split, members in by_split.items():
        group: list[Video] = []
        groups = [group]
        for video in members:
            if group and sum(len(v.frames) for v in group) + len(video.frames) > records_per_shard:
                group = []
                groups.append(group)
            group.append(video)
        shards += [Shard(split, number, tuple(group)) for number, group in enumerate(groups)]
    return shards


def write_shard(builder, root: Path, shard: Shard, folder: Path) -> dict[str, Any]:
    """Writes one shard and, after it, what it holds as JSON; a shard counts once both exist."""
    data, facts = shard_paths(folder, shard)
    features = builder.info.features
    serializer = ExampleSerializer(features.get_serialized_info())
    entries, skipped, count = [], [], 0
    with atomic_file(data) as partial:
        # TFDS's own setting: every record can be read alone.
        writer = ArrayRecordWriter(os.fspath(partial), "group_size:1")
        for video in shard.videos:
            notes = VideoNotes(builder, video, count)
            for stored in _examples(builder, root, video, notes, skipped):
                notes.add(stored)
                record = serializer.get_tf_example(features.encode_example(stored))
                # Without this, protobuf orders a record's fields differently in every process.
                writer.write(record.SerializeToString(deterministic=True))
                count += 1
            if notes.length:  # a video of damaged frames only leaves no entry
                entries.append(dataclasses.asdict(notes.entry()))
        writer.close()
    result = dict(records=count, videos=entries, skipped=skipped)
    with atomic_file(facts) as partial:
        partial.write_text(json.dumps(result), encoding="utf-8")
    return result


def shard_paths(folder: Path, shard: Shard) -> tuple[Path, Path]:
    """Where a shard and its facts are while building."""
    stem = f"{shard.split}-{shard.number:05d}"
    return folder / f"{stem}.array_record", folder / f"{stem}.json"


def _examples(builder, root: Path, video: Video, notes: "VideoNotes", skipped: list[str]):
    """Records of the frames that can be stored; the others stop the build or are named."""
    position = 0
    for frame, data, opened in _opened(builder, root, video, skipped):
        try:
            size = archive.check_image(data, root / frame.image)
            small = archive.shrink(data, builder.side)
            own = builder.example(root, video, frame, opened, size)
            notes.check(frame, own, size)
        except (CorruptImage, LabelError) as error:
            if not builder.leaves_out(error):
                raise
            skipped.append(str(error))
            continue
        yield {**builder.common(video, frame, position), "image": small, **own}
        position += 1


def _opened(builder, root: Path, video: Video, skipped: list[str]):
    """`open_frames`; a video file that breaks off gives the frames before the break."""
    try:
        yield from builder.open_frames(root, video)
    except CorruptImage as error:
        if not builder.leaves_out(error):
            raise
        skipped.append(f"{error} The rest of {video.video_id} is missing.")


class VideoNotes:
    """Collects a video's entry of the index while its frames pass.

    A video has frames of one size, and an object one name: `check` raises LabelError where not.
    """

    def __init__(self, builder, video: Video, first: int):
        self.builder, self.video, self.first = builder, video, first
        self.length = 0
        self.size = (0, 0)  # width, height of the archive's frames; none seen yet
        self.annotated: list[int] = []
        self.visible: dict[int, list[int]] = defaultdict(list)
        self.names: dict[int, tuple[str, bool]] = {}

    def check(self, frame, example, size: tuple[int, int]) -> None:
        """LabelError if a frame does not go with those before it; nothing is noted then."""
        if self.size not in ((0, 0), size):
            raise LabelError(
                f"{frame.image}: wrong size: {size[0]}x{size[1]}, in a video of "
                f"{self.size[0]}x{self.size[1]} (width x height)."
            )
        entries = self.builder.object_entries(example)
        for number, what in entries.items():
            known = self.names[number] if number in self.names else what
            if known != what:
                raise LabelError(
                    f"{self.video.video_id}: object {number} is a {known[0]} at first and a "
                    f"{what[0]} in {frame.source}."
                )
        self.size = size
        self.names.update(entries)

    def add(self, stored) -> None:
        """Notes a frame that `check` has passed, as it is stored."""
        if stored.get("is_annotated"):
            self.annotated.append(self.length)
        for number in self.builder.object_entries(stored):
            self.visible[number].append(self.length)
        self.length += 1

    def entry(self) -> index.VideoEntry:
        video = self.video
        width, height = archive.shrunk_size(*self.size, self.builder.side)
        objects = tuple(
            index.ObjectEntry(number, name, is_instrument, index.runs_of(self.visible[number]))
            for number, (name, is_instrument) in sorted(self.names.items())
        )
        return index.VideoEntry(
            video_id=video.video_id,
            first=self.first,
            length=self.length,
            height=height,
            width=width,
            fps=video.fps,
            procedure=video.procedure,
            source=self.builder.name,
            patient=video.patient,
            annotated=index.runs_of(self.annotated),
            objects=objects,
        )
