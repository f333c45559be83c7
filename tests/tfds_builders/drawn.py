"""Builds one config of a builder from its fake archive and compares it with what was drawn."""

from pathlib import Path

import numpy as np

from tests.tfds_builders import reading
from tfds_builders.kit.fake import FakeVideo


def build(name: str, archive: Path, data_dir: Path) -> Path:
    """The version folder of `NAME/CONFIG` (or `NAME`)."""
    status, text = reading.run(
        dataset=name, manual_dir=archive, data_dir=data_dir, partial=True, jobs=1
    )
    assert status == 0, text
    return reading.version_folder(data_dir, name.partition("/")[0])


def same_as_drawn(folder: Path, videos: list[FakeVideo]) -> None:
    """Splits, order of frames, images, masks and categories."""
    table, records, features = reading.read(folder)
    stored = {entry.video_id: split for split, entries in table.splits.items() for entry in entries}
    assert stored == {video.video_id: video.split for video in videos}
    name_of = features["category"].feature.int2str
    for video in videos:
        for frame, record in zip(video.frames, records[video.video_id], strict=True):
            where = f"{video.video_id}, {frame.source}"
            assert record["source_frame"].decode() == frame.source, where
            reading.same(record["image"], frame.image_u8, where)
            assert bool(record["is_annotated"]) == (frame.instances is not None), where
            if frame.instances is None:
                assert not np.any(record["instances"]), where
                continue
            reading.same(record["instances"][..., 0], frame.instances, where)
            names = [name_of(int(number)) for number in record["category"]]
            ids = [int(number) for number in record["instance_ids"]]
            assert dict(zip(ids, names, strict=True)) == frame.objects, where
