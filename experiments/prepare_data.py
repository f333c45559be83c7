"""Checks an archive of yours and turns it into training data.

    python -m experiments.prepare_data --dataset=endovis18 --manual_dir=ARCHIVE --data_dir=data
    python -m experiments.prepare_data --dataset=endovis18 --manual_dir=ARCHIVE --check_only
    python -m experiments.prepare_data --dataset=endovis18 --fake=fake_archive
    python -m experiments.prepare_data --list

Path:    archive -> [prepare_data] -> data_dir/NAME/CONFIG/VERSION -> surgjax.data
Axes:    none.
Units:   --side in pixels of the shorter image side.
Errors:  exit status 1 and a table of what is missing, extra, damaged, of the wrong size or count,
         or labelled with an unknown value; 2 for a flag that makes no sense.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from tfds_builders import registry
from tfds_builders.kit import build
from tfds_builders.kit.archive import ArchiveError
from tfds_builders.kit.builder import with_side


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    flags.add_argument("--dataset", metavar="NAME[/CONFIG]", help="see --list")
    flags.add_argument("--manual_dir", help="the archive, as the data set's README describes it")
    flags.add_argument("--data_dir", help="where prepared sets are kept")
    flags.add_argument("--check_only", action="store_true", help="decode and check, build nothing")
    flags.add_argument("--fake", metavar="DIR", help="draw a small archive in the true layout")
    flags.add_argument("--list", action="store_true", help="name every data set and its configs")
    flags.add_argument(
        "--partial",
        action="store_true",
        help="the archive holds part of the set only: wrong counts do not stop the build",
    )
    flags.add_argument(
        "--on_corrupt",
        choices=("stop", "skip"),
        default="stop",
        help="a damaged image ends the build, or is left out and counted",
    )
    flags.add_argument("--side", type=int, help="shrink frames to this shorter side")
    flags.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return flags


def make_builder(name: str, flags: argparse.Namespace):
    """The configured builder of `NAME` or `NAME/CONFIG`."""
    name, _, wanted = name.partition("/")
    kind = registry.builder_class(name)
    configs = {config.name: config for config in kind.BUILDER_CONFIGS}
    if wanted and wanted not in configs:
        raise ValueError(f"--dataset: {name} has configs {', '.join(configs)}; found {wanted!r}.")
    config = configs[wanted] if wanted else kind.BUILDER_CONFIGS[0]
    if kind.NEEDS_ARCHIVE:
        if not flags.manual_dir:
            raise ValueError(
                f"--manual_dir is missing: the folder of the {name} archive.\n"
                f"{kind.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        root = Path(flags.manual_dir)
        if not root.is_dir() or not any(root.iterdir()):
            raise ValueError(
                f"--manual_dir {root}: no such folder, or an empty one.\n"
                f"{kind.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        config = kind.configure(config, root)
    elif flags.manual_dir:
        raise ValueError(f"--manual_dir: {name} needs no archive.")
    return kind(
        data_dir=flags.data_dir,
        config=with_side(config, flags.side),
        partial=flags.partial,
        on_corrupt=flags.on_corrupt,
        jobs=flags.jobs,
    )


def check(builder, root: Path) -> int:
    """Prints the whole report; 1 if it has errors."""
    report = builder.examine(root, labels=True)
    print(f"{builder.name} in {root}:\n{report.text()}")
    print(f"{len(report.errors)} errors")
    return 1 if report.errors else 0


def prepare(builder, flags: argparse.Namespace) -> None:
    """Builds, and says where the result is."""
    target = builder.data_path
    if target.exists():
        build.clean(builder)
        print(f"{builder.name}: {target} is there already; remove it to build again.")
        return
    if builder.NEEDS_ARCHIVE:
        print(builder.examine(Path(flags.manual_dir)).text())
    with tempfile.TemporaryDirectory() as nothing:  # TFDS makes a folder for downloads, always
        builder.download_and_prepare(
            download_dir=nothing,
            download_config=tfds.download.DownloadConfig(manual_dir=flags.manual_dir),
        )
    for name, split in builder.info.splits.items():
        print(f"  {name}: {split.num_examples} frames in {split.num_shards} shards")
    print(f"{builder.name}: ready in {builder.data_path}")


def run(flags: argparse.Namespace) -> int:
    """The launcher without parsing; returns the exit status."""
    if flags.list:
        for name in registry.NAMES:
            configs = registry.builder_class(name).BUILDER_CONFIGS
            print(f"{name}: {', '.join(config.name for config in configs)}")
        return 0
    if not flags.dataset:
        raise ValueError("--dataset is missing; --list names them.")
    if flags.fake:
        name, target = flags.dataset.partition("/")[0], Path(flags.fake)
        if target.exists() and any(target.iterdir()):
            raise ValueError(f"--fake {target}: expected a new or empty folder.")
        target.mkdir(parents=True, exist_ok=True)
        videos = registry.fake(name).make(target)
        print(f"{name}: a fake archive of {len(videos)} videos or images is in {target}")
        print("It is small: build it with --partial.")
        return 0
    if not flags.check_only and not flags.data_dir:
        raise ValueError("--data_dir is missing: where to keep the prepared set.")
    builder = make_builder(flags.dataset, flags)
    if flags.check_only:
        return check(builder, Path(flags.manual_dir or "."))
    prepare(builder, flags)
    return 0


def main(argv=None) -> None:
    flags = parser().parse_args(argv)
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every config that is not in its class
    try:
        sys.exit(run(flags))
    except ArchiveError as error:
        sys.exit(f"{error}")
    except ValueError as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
