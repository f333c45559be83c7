"""What a debug run learns from where no data are given: tiny scenes, or sets drawn in true layout.

Path:    tfds_builders fakes, surgjax.synthetic -> [debug_data] -> folder -> sources
Errors:  ValueError for a set that no builder makes.
"""

import contextlib
import io
import pathlib
from collections.abc import Iterable

from surgjax.synthetic import build


def write_scenes(folder: str) -> None:
    """Shards of a few generated scenes of 64 px."""
    build.build(folder, images=4, clips=2, frames=8, size=64, seed=0)


def write_sets(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Draws an archive for each prepared set and builds it, as `experiments.prepare_data` would."""
    from experiments import data_preparation  # these import TFDS: only where they are needed
    from tfds_builders import registry

    for name in names:
        name = name.partition(":")[0]
        base = name.partition("/")[0]
        archive = folder / "archives" / base
        has_archive = registry.builder_class(base).NEEDS_ARCHIVE
        if has_archive and not archive.exists():
            registry.fake(base).make(archive)
        options = data_preparation.PrepareOptions(
            manual_dir=str(archive) if has_archive else None, data_dir=str(folder), partial=True
        )
        builder = data_preparation.make_builder(name, options)
        with contextlib.redirect_stdout(io.StringIO()):  # its report is about nothing real
            data_preparation.prepare(builder, archive)
