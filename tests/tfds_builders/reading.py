"""Fake archive -> prepared set -> what it holds, for the tests of builders."""

import contextlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from experiments import data_preparation
from experiments.data_preparation import PrepareOptions
from surgjax.data import index
from tfds_builders import registry


def options(**values) -> PrepareOptions:
    """Options as flags would give them: paths as text."""
    texts = {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
    return PrepareOptions(**texts)


def run(**values) -> tuple[int, str]:
    """(exit status, output) of data_preparation."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = data_preparation.run(options(**values))
        except (ValueError, RuntimeError) as error:
            print(error)
            status = 1
    return status, out.getvalue()


def version_folder(data_dir: Path, name: str) -> Path:
    """The one version folder under a data set's name."""
    found = [path.parent for path in (data_dir / name).rglob(index.FILE_NAME)]
    assert len(found) == 1, found
    return found[0]


def read(folder: Path):
    """(index, {video_id: [decoded record]}) of a prepared set."""
    builder = tfds.builder_from_directory(str(folder))
    table = index.read(str(folder))
    records = {}
    for split, videos in table.splits.items():
        source = builder.as_data_source(split)
        assert len(source) == sum(video.length for video in videos)
        for video in videos:
            records[video.video_id] = [source[video.first + t] for t in range(video.length)]
    return table, records, builder.info.features


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a prepared set by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def fake_names() -> list[str]:
    """Builders that read an archive."""
    return [name for name in registry.NAMES if registry.builder_class(name).NEEDS_ARCHIVE]


def same(found, expected, what: str) -> None:
    """Arrays, values and dicts of them in a record against what was drawn."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), what
        for key, value in expected.items():
            same(found[key], value, f"{what}, {key}")
        return
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected), err_msg=what)
