"""Building: whole or not at all, the same after any kill, the same in parallel."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surgjax.data import reader
from tests.tfds_builders import reading
from tests.tfds_builders.kit import build_tiny
from tfds_builders import registry
from tfds_builders.davis_folder.builder import Builder as Davis
from tfds_builders.kit import build, fake
from tfds_builders.kit.archive import Frame, LabelError, Video
from tfds_builders.kit.report import Report
from tfds_builders.kit.shards import plan, shard_paths, write_shard

ROOT = Path(__file__).parents[3]


def _files(data_dir: Path) -> dict[str, bytes]:
    return reading.files(reading.version_folder(data_dir, "generated"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(files, seconds) of a build that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.perf_counter()
    build_tiny.make(str(folder))
    return _files(folder), time.perf_counter() - start


def _child(folder: Path, jobs: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.tfds_builders.kit.build_tiny", str(folder), str(jobs)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _wait_for(child: subprocess.Popen, word: str) -> None:
    assert child.stdout is not None
    assert word in child.stdout.readline()


def _kill_and_resume(folder: Path, kills: int, seconds: float, seed: int, jobs: int = 1) -> int:
    """Kills builds at random points until `kills` have hit one at work; returns finished ones."""
    rng, hits, finished = random.Random(seed), 0, 0
    while hits < kills:
        target = folder / f"run{finished}"
        child = _child(target, jobs)
        _wait_for(child, "ready")
        time.sleep(rng.uniform(0, seconds))
        child.send_signal(signal.SIGKILL)
        child.wait()
        if list(target.rglob("dataset_info.json")):
            finished += 1  # too late: it was done, and the next one starts from nothing
        else:
            hits += 1
    child = _child(folder / f"run{finished}", jobs)
    assert child.wait(120) == 0
    return finished + 1


@pytest.mark.parametrize(("kills", "seed"), [(2, 0), pytest.param(20, 1, marks=pytest.mark.slow)])
def test_after_any_kill_the_files_are_those_of_an_undisturbed_build(
    undisturbed, tmp_path, kills, seed
):
    files, seconds = undisturbed
    runs = _kill_and_resume(tmp_path, kills, seconds, seed)
    for number in range(runs):
        assert _files(tmp_path / f"run{number}") == files
        leftovers = list((tmp_path / f"run{number}").rglob("*.building"))
        assert number < runs - 1 or not leftovers, "a finished build leaves nothing behind"


@pytest.mark.slow
def test_a_killed_parallel_build_goes_on_too(undisturbed, tmp_path):
    files, seconds = undisturbed
    runs = _kill_and_resume(tmp_path, 4, 2 * seconds, seed=2, jobs=2)
    for number in range(runs):
        assert _files(tmp_path / f"run{number}") == files


def test_two_processes_build_what_one_builds(undisturbed, tmp_path):
    build_tiny.make(str(tmp_path), jobs=2)
    assert _files(tmp_path) == undisturbed[0]


def test_going_on_does_not_build_again(tmp_path):
    """Shards that are there are kept: their files are the same ones, not equal ones."""
    lines: list[str] = []
    builder = build_tiny.Builder(data_dir=str(tmp_path), config=build_tiny.CONFIG, say=lines.append)
    videos = builder.found(Path())
    shards = builder.shards(videos)
    folder = build.building_folder(Path(builder.data_dir), str(builder.version))
    folder.mkdir(parents=True)
    build._start_or_resume(builder, Path(), shards, folder)
    write_shard(builder, Path(), shards[0], folder)
    before = os.stat(shard_paths(folder, shards[0])[0])
    build_tiny.make(str(tmp_path), say=lines.append)
    after = reading.version_folder(tmp_path, "generated") / (
        f"generated-train.array_record-00000-of-{build_tiny.CONFIG.videos[0]:05d}"
    )
    assert after.stat().st_ino == before.st_ino
    assert any("going on, 1 of 12 shards" in line for line in lines)


def _davis(tmp_path: Path):
    archive = tmp_path / "archive"
    return archive, registry.fake("davis_folder").make(archive)


def _builder(tmp_path: Path, archive: Path, **values):
    kind = registry.builder_class("davis_folder")
    config = kind.configure(kind.BUILDER_CONFIGS[0], archive)
    return kind(data_dir=str(tmp_path / "data"), config=config, say=lambda line: None, **values)


def test_a_changed_archive_starts_from_zero(tmp_path):
    archive, videos = _davis(tmp_path)
    lines: list[str] = []
    builder = _builder(tmp_path, archive)
    builder.say = lines.append
    shards = builder.shards(builder.found(archive))
    folder = build.building_folder(Path(builder.data_dir), str(builder.version))
    folder.mkdir(parents=True)
    build._start_or_resume(builder, archive, shards, folder)
    write_shard(builder, archive, shards[0], folder)
    (archive / videos[0].frames[0].image).touch()
    build._start_or_resume(builder, archive, shards, folder)
    assert not shard_paths(folder, shards[0])[0].exists()
    assert any("building from zero" in line for line in lines)


def test_a_damaged_image_stops_the_build_or_is_left_out_and_counted(tmp_path):
    archive, videos = _davis(tmp_path)
    bad = videos[0].frames[2].image
    data = (archive / bad).read_bytes()
    (archive / bad).write_bytes(data[: len(data) // 2])
    values = dict(dataset="davis_folder", manual_dir=archive, data_dir=tmp_path / "data", jobs=1)
    status, text = reading.run(**values)
    assert status == 1
    assert bad in text
    status, text = reading.run(**values, on_corrupt="skip")
    assert status == 0, text
    assert "1 damaged or wrongly labelled frames were left out" in text
    folder = reading.version_folder(tmp_path / "data", "davis_folder")
    assert bad in json.loads((folder / build.REPORT_NAME).read_text())["skipped"][0]
    table, records, _ = reading.read(folder)
    assert [int(r["frame_index"]) for r in records["case00"]] == [0, 1, 2, 3]
    assert [r["source_frame"] for r in records["case00"]][2] == b"00003"
    assert table.splits["train"][0].length == 4
    # The gap stays known: 5 frames a second, the third is missing.
    stored = reader.PreparedSet(folder)
    _, _, times = stored.read_frames("train", table.splits["train"][0], [0, 1, 2, 3], [False] * 4)
    assert times.round(3).tolist() == [0.0, 0.2, 0.6, 0.8]


def test_an_unknown_label_stops_the_build_or_its_frame_is_left_out(tmp_path):
    archive = tmp_path / "archive"
    (*_, last) = registry.fake("cholecseg8k").make(archive)
    (mask,) = last.frames[1].labels
    fake.write_value(archive / mask, (77, 77, 77))
    values = dict(dataset="cholecseg8k", manual_dir=archive, data_dir=tmp_path, partial=True)
    status, text = reading.run(**values)
    assert status == 1 and "unknown label value 77" in text
    status, text = reading.run(**values, on_corrupt="skip")
    assert status == 1, "it is not damaged"
    status, text = reading.run(**values, on_unknown_label="skip")
    assert status == 0, text
    assert "1 damaged or wrongly labelled frames were left out" in text and mask in text
    _, records, _ = reading.read(reading.version_folder(tmp_path, "cholecseg8k"))
    assert len(records[last.video_id]) == len(last.frames) - 1


def test_a_video_file_that_breaks_off_gives_what_is_before_the_break(tmp_path):
    archive = tmp_path / "archive"
    (video, *_) = registry.fake("sar_rarp50").make(archive)
    movie = next(path for path in archive.rglob("*.avi") if video.video_id in str(path))
    data = movie.read_bytes()
    movie.write_bytes(data[: len(data) * 2 // 3])
    values = dict(dataset="sar_rarp50", manual_dir=archive, data_dir=tmp_path, partial=True)
    status, text = reading.run(**values)
    assert status == 1 and movie.name in text
    status, text = reading.run(**values, on_corrupt="skip")
    assert status == 0, text
    assert f"The rest of {video.video_id} is missing" in text
    _, records, _ = reading.read(reading.version_folder(tmp_path, "sar_rarp50"))
    assert 0 < len(records[video.video_id]) < len(video.frames)


def test_a_second_build_of_the_same_set_is_refused(tmp_path):
    archive, _ = _davis(tmp_path)
    builder = _builder(tmp_path, archive)
    folder = build.building_folder(Path(builder.data_dir), str(builder.version))
    folder.mkdir(parents=True)
    with open(folder / "lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        status, text = reading.run(
            dataset="davis_folder", manual_dir=archive, data_dir=tmp_path / "data", jobs=1
        )
    assert status == 1
    assert "another process is building" in text


def test_frames_shrink_to_the_side_that_is_asked_for(tmp_path):
    archive, videos = _davis(tmp_path)
    status, text = reading.run(
        dataset="davis_folder", manual_dir=archive, data_dir=tmp_path / "data", jobs=1, side=32
    )
    assert status == 0, text
    folder = reading.version_folder(tmp_path / "data", "davis_folder")
    assert folder.parent.name == "own_s32"
    table, records, _ = reading.read(folder)
    assert (table.splits["train"][0].height, table.splits["train"][0].width) == (32, 48)
    record, frame = records["case00"][0], videos[0].frames[0]
    assert record["image"].shape == (32, 48, 3)
    # Nearest neighbour at exactly half the size: the centre of a 2x2 block is one of its pixels.
    small = record["instances"][..., 0]
    assert frame.instances is not None
    blocks = frame.instances.reshape(32, 2, 48, 2)
    assert (small[:, None, :, None] == blocks).any((1, 3)).all()


def test_single_images_share_shards_and_videos_do_not():
    def video(name, split, frames):
        return Video(name, split, (Frame("a", "a"),) * frames, "", name)

    images = [video(str(i), "train" if i < 5 else "test", 1) for i in range(7)]
    sizes = [(s.split, s.number, len(s.videos)) for s in plan(images, 3)]
    assert sizes == [("train", 0, 3), ("train", 1, 2), ("test", 0, 2)]
    videos = [video("a", "train", 4), video("b", "train", 2)]
    assert [len(s.videos) for s in plan(videos, 1)] == [1, 1]


def test_frames_of_several_sizes_in_one_video_are_refused_or_left_out(tmp_path):
    """One entry of the index holds one size: such a set could not be read in training."""
    archive, videos = _davis(tmp_path)
    name, mask = videos[0].frames[2].image, videos[0].frames[2].labels[0]
    fake.write_image(archive / name, videos[0].frames[2].image_u8[:32])
    fake.write_labels(archive / mask, videos[0].frames[2].instances[:32])
    values = dict(dataset="davis_folder", manual_dir=archive)
    for more in (dict(check_only=True), dict(data_dir=tmp_path / "data")):
        status, text = reading.run(**values, **more)
        assert status == 1
        assert f"{name}: wrong size: 96x32, in a video of 96x64" in text
    status, text = reading.run(**values, data_dir=tmp_path / "data", on_unknown_label="skip")
    assert status == 0, text
    folder = reading.version_folder(tmp_path / "data", "davis_folder")
    table, records, _ = reading.read(folder)
    entry = table.splits["train"][0]
    assert (entry.length, entry.height, entry.width) == (4, 64, 96)
    assert {record["image"].shape for record in records["case00"]} == {(64, 96, 3)}


class _Renaming(Davis, skip_registration=True):
    """Object 1 changes its name in the third frame."""

    name = "davis_folder"

    def truth(self, root, video, frame, opened):
        found = super().truth(root, video, frame, opened)
        names = sorted(self.CATEGORIES)
        found.objects[1] = names[frame.source == "00002"]
        return found


def test_an_object_that_changes_its_name_is_found_by_the_check_and_by_the_build(tmp_path):
    archive, _ = _davis(tmp_path)
    config = _Renaming.configure(_Renaming.BUILDER_CONFIGS[0], archive)
    builder = _Renaming(data_dir=str(tmp_path / "data"), config=config)
    videos = [v for v in builder.found(archive) if v.video_id == "case00"]
    report = Report()
    build.check_labels(builder, archive, videos, report, say=lambda line: None)
    (finding,) = report.errors
    assert (finding.kind, "object 1 is a" in finding.found) == ("label", True)
    (shard,) = builder.shards(videos)
    with pytest.raises(LabelError, match="case00: object 1 is a .* and a .* in 00002"):
        write_shard(builder, archive, shard, tmp_path)


def test_changed_code_starts_from_zero(tmp_path, monkeypatch):
    archive, _ = _davis(tmp_path)
    builder = _builder(tmp_path, archive)
    shards = builder.shards(builder.found(archive))
    before = build._fingerprint(builder, archive, shards)
    assert build._fingerprint(builder, archive, shards) == before
    monkeypatch.setattr(build, "_code", lambda: b"another version")
    assert build._fingerprint(builder, archive, shards) != before


def test_a_disk_without_second_names_for_files_gets_copies(undisturbed, tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    build_tiny.make(str(tmp_path))
    assert _files(tmp_path) == undisturbed[0]
