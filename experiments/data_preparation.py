"""Checks an archive of the user's and turns it into training data: what prepare_data does.

Path:    archive -> [data_preparation] -> data_dir/NAME/CONFIG/VERSION -> surgjax.data
Axes:    none.
Units:   side in pixels of the shorter image side.
Errors:  ValueError for an option that makes no sense, or a set that is there from other files;
         ArchiveError with a table of what is missing, extra, damaged, of the wrong size or count,
         or labelled with an unknown value.
"""

import dataclasses
import tempfile
from pathlib import Path

import tensorflow_datasets as tfds

from tfds_builders import registry
from tfds_builders.kit import build
from tfds_builders.kit.builder import with_side


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """The flags of experiments.prepare_data, by the same names."""

    dataset: str | None = None
    manual_dir: str | None = None
    data_dir: str | None = None
    check_only: bool = False
    fake: str | None = None
    list: bool = False
    partial: bool = False
    on_corrupt: str = "stop"
    on_unknown_label: str = "stop"
    side: int | None = None
    jobs: int = 1


def make_builder(name: str, options: PrepareOptions):
    """The configured builder of `NAME` or `NAME/CONFIG`."""
    name, _, wanted = name.partition("/")
    kind = registry.builder_class(name)
    configs = {config.name: config for config in kind.BUILDER_CONFIGS}
    if wanted and wanted not in configs:
        raise ValueError(f"--dataset: {name} has configs {', '.join(configs)}; found {wanted!r}.")
    config = configs[wanted] if wanted else kind.BUILDER_CONFIGS[0]
    if kind.NEEDS_ARCHIVE:
        if not options.manual_dir:
            raise ValueError(
                f"--manual_dir is missing: the folder of the {name} archive.\n"
                f"{kind.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        root = Path(options.manual_dir)
        if not root.is_dir() or not any(root.iterdir()):
            raise ValueError(
                f"--manual_dir {root}: no such folder, or an empty one.\n"
                f"{kind.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        config = kind.configure(config, root)
    elif options.manual_dir:
        raise ValueError(f"--manual_dir: {name} needs no archive.")
    return kind(
        data_dir=options.data_dir,
        config=with_side(config, options.side),
        partial=options.partial,
        on_corrupt=options.on_corrupt,
        on_unknown_label=options.on_unknown_label,
        jobs=options.jobs,
    )


def check(builder, root: Path) -> int:
    """Prints the whole report; 1 if it has errors."""
    report = builder.examine(root, labels=True)
    print(f"{builder.name} in {root}:\n{report.text()}")
    print(f"{len(report.errors)} errors")
    return 1 if report.errors else 0


def prepare(builder, root: Path) -> None:
    """Builds, and says where the result is."""
    target = builder.data_path
    if target.exists():
        build.clean(builder)
        if build.is_of_another_source(builder, root):
            raise ValueError(
                f"--data_dir: {target} was built from another archive or with other flags: "
                "remove it, or give another folder."
            )
        print(f"{builder.name}: {target} is there already; remove it to build again.")
        return
    if builder.NEEDS_ARCHIVE:
        print(builder.examine(root).text())
    with tempfile.TemporaryDirectory() as nothing:  # TFDS makes a folder for downloads, always
        builder.download_and_prepare(
            download_dir=nothing,
            download_config=tfds.download.DownloadConfig(manual_dir=str(root)),
        )
    for name, split in builder.info.splits.items():
        print(f"  {name}: {split.num_examples} frames in {split.num_shards} shards")
    print(f"{builder.name}: ready in {builder.data_path}")


def run(options: PrepareOptions) -> int:
    """The launcher without parsing; returns the exit status."""
    if options.list:
        for name in registry.NAMES:
            configs = registry.builder_class(name).BUILDER_CONFIGS
            print(f"{name}: {', '.join(config.name for config in configs)}")
        return 0
    if not options.dataset:
        raise ValueError("--dataset is missing; --list names them.")
    if options.fake:
        name, target = options.dataset.partition("/")[0], Path(options.fake)
        if target.exists() and any(target.iterdir()):
            raise ValueError(f"--fake {target}: expected a new or empty folder.")
        videos = registry.fake(name).make(target)
        print(f"{name}: a fake archive of {len(videos)} videos or images is in {target}")
        print("It is small: build it with --partial.")
        return 0
    if not options.check_only and not options.data_dir:
        raise ValueError("--data_dir is missing: where to keep the prepared set.")
    builder = make_builder(options.dataset, options)
    root = Path(options.manual_dir or ".")
    if options.check_only:
        return check(builder, root)
    prepare(builder, root)
    return 0
