"""Archive to shards: in parallel, whole or not at all, going on where a killed build stopped.

Path:    builder.found -> plan -> [build] -> array_record shards, clips.json -> surgjax.data
Axes:    one record per frame; shard k of a split holds the split's k-th video or group of images.
Units:   none.
Errors:  ArchiveError kinds from the archive, the same in one process as in several;
         RuntimeError if another process builds the same data set.
Differs: TFDS writes into a folder that a kill leaves useless. Shards are made here, under their
         own names, in `<version>.building` beside it, and linked over when all are there.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import fcntl
import functools
import hashlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

import surgjax.synthetic
import tfds_builders
from surgjax.checkpoints.atomic import atomic_file
from surgjax.data import index
from tfds_builders.kit import archive
from tfds_builders.kit.archive import ArchiveError, CorruptImage, LabelError, Video
from tfds_builders.kit.progress import Progress
from tfds_builders.kit.shards import Shard, VideoNotes, shard_paths, write_shard

REPORT_NAME = "build_report.json"


def building_folder(data_dir: Path, version: str) -> Path:
    """Where shards are made: beside the version's folder (or TFDS's temporary twin of it)."""
    return data_dir.with_name(f"{version}.building")


def build(builder, root: Path, data_dir: Path) -> None:
    """Makes every shard that is missing, then links them into `data_dir` with index and facts."""
    folder = building_folder(data_dir, str(builder.version))
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, builder.name):
        for stale in data_dir.parent.glob(f"incomplete.*_{builder.version}"):
            if stale != data_dir:
                shutil.rmtree(stale, ignore_errors=True)
        videos = builder.found(root)
        shards = builder.shards(videos)
        _start_or_resume(builder, root, shards, folder)
        facts = _make_missing(builder, root, shards, folder)
        _finish(builder, root, videos, shards, facts, folder, data_dir)


def is_of_another_source(builder, root: Path) -> bool:
    """Whether the set in its place was built from other files than these, or otherwise."""
    path = Path(builder.data_dir) / REPORT_NAME
    stored = json.loads(path.read_text(encoding="utf-8")).get("source")
    shards = builder.shards(builder.found(root))
    return stored != _source(builder, root, shards, with_times=False)


def clean(builder) -> None:
    """Removes what building left, once the data set is in its place."""
    folder = building_folder(Path(builder.data_dir), str(builder.version))
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, name: str):
    with open(folder / "lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"{name}: another process is building in {folder}.") from error
        yield


def _fingerprint(builder, root: Path, shards: list[Shard]) -> str:
    """Changes with anything that would make old shards wrong: the source, or our code."""
    source = _source(builder, root, shards, with_times=True)
    return hashlib.sha256(_code() + source.encode()).hexdigest()


def _source(builder, root: Path, shards: list[Shard], *, with_times: bool) -> str:
    """Digest of plan, config and the files' sizes; of the times they changed, too, if told so."""
    digest = hashlib.sha256()
    settings = f"{builder.on_corrupt} {builder.on_unknown_label}"
    digest.update(f"{builder.info.full_name} {builder.side} {settings}".encode())
    for shard in shards:
        digest.update(repr(shard).encode())
        names = {
            name
            for video in shard.videos
            for frame in video.frames
            for name in (frame.image, *frame.labels)
        }
        for name in sorted(names):
            path = root / name
            if path.is_file():
                about = path.stat()
                changed = about.st_mtime_ns if with_times else ""
                digest.update(f"{name} {about.st_size} {changed}".encode())
    return digest.hexdigest()


@functools.cache
def _code() -> bytes:
    """Digest of the sources that decide what is in a shard: all builders', the world's."""
    digest = hashlib.sha256()
    for package in (tfds_builders, surgjax.synthetic):
        for folder in package.__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.digest()


def _start_or_resume(builder, root: Path, shards: list[Shard], folder: Path) -> None:
    mark, now = folder / "plan.sha256", _fingerprint(builder, root, shards)
    if mark.exists() and mark.read_text() != now:
        _say(
            builder,
            f"{builder.name}: the archive, the settings or our code changed: building from zero.",
        )
    if not mark.exists() or mark.read_text() != now:
        for path in folder.iterdir():
            if path.name != "lock":
                path.unlink()
        with atomic_file(mark) as partial:
            partial.write_text(now)
    for path in folder.glob(".*.tmp"):  # of a killed process: the lock says that none is alive
        path.unlink()


def _make_missing(builder, root: Path, shards: list[Shard], folder: Path):
    facts: dict[Shard, dict[str, Any]] = {}
    todo = []
    for shard in shards:
        data, notes = shard_paths(folder, shard)
        if data.exists() and notes.exists():
            facts[shard] = json.loads(notes.read_text(encoding="utf-8"))
        else:
            todo.append(shard)
    if facts:
        _say(builder, f"{builder.name}: going on, {len(facts)} of {len(shards)} shards are there.")
    progress = Progress(builder.name, len(todo), sum(_size(s) for s in todo), builder.say)
    for shard, result in _results(builder, root, todo, folder):
        facts[shard] = result
        progress.step(f"{shard.split} {shard.videos[0].video_id}", _size(shard))
    return facts


def _size(shard: Shard) -> int:
    return sum(len(video.frames) for video in shard.videos)


def _results(builder, root: Path, todo: list[Shard], folder: Path):
    if builder.jobs <= 1 or len(todo) <= 1:
        for shard in todo:
            yield shard, write_shard(builder, root, shard, folder)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy OpenCV's and gRPC's threads
    say, builder.say = builder.say, None  # a function of the parent's; need not pickle
    try:
        with concurrent.futures.ProcessPoolExecutor(builder.jobs, spawn, _begin_worker) as pool:
            futures = {
                pool.submit(write_shard, builder, root, shard, folder): shard for shard in todo
            }
            try:
                for future in concurrent.futures.as_completed(futures):
                    yield futures[future], future.result()
            except concurrent.futures.process.BrokenProcessPool as error:
                raise RuntimeError(
                    f"{builder.name}: a worker process died (out of memory?). What is built is "
                    "kept: run again to go on, with fewer --jobs perhaps."
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        builder.say = say


def _begin_worker() -> None:
    """Quiet like the launcher, and ends with it."""
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every config that is not in its class
    _die_with_parent()


def _die_with_parent() -> None:
    """A killed parent would leave its workers waiting for ever."""
    parent = multiprocessing.parent_process()

    def watch():
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _finish(builder, root: Path, videos, shards, facts, folder: Path, data_dir: Path) -> None:
    by_split: dict[str, list[Shard]] = defaultdict(list)
    for shard in shards:
        if facts[shard]["records"]:
            by_split[shard.split].append(shard)
    infos, entries = [], {}
    for split, members in by_split.items():
        template = builder._get_filename_template(split_name=split)
        lengths = [facts[shard]["records"] for shard in members]
        size = 0
        for number, shard in enumerate(members):
            source = shard_paths(folder, shard)[0]
            target = template.sharded_filepath(shard_index=number, num_shards=len(members))
            _link(source, data_dir / os.path.basename(os.fspath(target)))
            size += source.stat().st_size
        infos.append(
            tfds.core.SplitInfo(
                name=split, shard_lengths=lengths, num_bytes=size, filename_template=template
            )
        )
        starts = itertools.accumulate(lengths, initial=0)
        entries[split] = [
            index.video_from_dict({**video, "first": video["first"] + start})
            for start, shard in zip(starts, members, strict=False)
            for video in facts[shard]["videos"]
        ]
    if not infos:
        raise ArchiveError(f"{builder.name}: not one frame of the archive could be stored.")
    builder.info.set_splits(tfds.core.SplitDict(infos))
    table = builder.index_of(entries, videos)
    (data_dir / index.FILE_NAME).write_text(index.to_json(table), encoding="utf-8")
    skipped = [line for shard in shards for line in facts[shard]["skipped"]]
    source = _source(builder, root, shards, with_times=False)
    about = dict(source=source, skipped=skipped, num_skipped=len(skipped))
    (data_dir / REPORT_NAME).write_text(json.dumps(about, indent=1), encoding="utf-8")
    if skipped:
        _say(
            builder,
            f"{builder.name}: {len(skipped)} damaged or wrongly labelled frames were left out:",
        )
        for line in skipped[:10]:
            _say(builder, f"  {line}")


def _link(source: Path, target: Path) -> None:
    """A second name for a file; a copy on file systems that know no second names (exFAT)."""
    try:
        os.link(source, target)
    except OSError:  # what else is wrong, copying meets as well
        shutil.copyfile(source, target)


def check_labels(builder, root: Path, videos: list[Video], report, say=None) -> None:
    """Decodes every image and mask; each failure is a finding of the report."""
    progress = Progress(f"{builder.name}: checking", len(videos), len(videos), say)
    for video in videos:
        try:
            notes = VideoNotes(builder, video, 0)
            for frame, data, opened in builder.open_frames(root, video):
                try:
                    size = archive.check_image(data, root / frame.image)
                    own = builder.example(root, video, frame, opened, size)
                    notes.check(frame, own, size)
                except CorruptImage as error:
                    report.error("corrupt", frame.image, "an image", error)
                except LabelError as error:
                    kind = "size" if "wrong size" in str(error) else "label"
                    report.error(kind, (*frame.labels, frame.source)[0], "known labels", error)
        except ArchiveError as error:
            report.error("corrupt", video.video_id, "frames that can be read", error)
        progress.step(video.video_id, 1)


def _say(builder, line: str) -> None:
    (builder.say or print)(line)
