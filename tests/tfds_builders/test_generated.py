"""The generated set: what is read back is what the world says, at its stated resolution."""

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, generate_clip
from surgjax.synthetic.annotators import RATERS, annotate
from surgjax.synthetic.sites import site_config
from tests.tfds_builders import reading
from tests.tfds_builders.kit import build_tiny
from tfds_builders.generated.builder import FLOW_UNKNOWN, Builder, GeneratedConfig
from tfds_builders.kit.builder import with_side


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(index, records by video, the clips that were drawn), with all truth, from two sites."""
    config = GeneratedConfig(
        name="both", videos=(2, 1, 1), num_frames=4, size=64, sites=2, all_truth=True
    )
    folder = tmp_path_factory.mktemp("generated")
    build_tiny.make(str(folder), config=config)
    table, records, _ = reading.read(reading.version_folder(folder, "generated"))
    clips = {}
    for split, seed, site in (
        ("train", 2_000_000, 0),
        ("train", 2_000_001, 1),
        ("val", 4_000_000, 0),
        ("test", 13_000_000, 0),
    ):
        scene = site_config(PRESETS["surgery"], site)
        clip = generate_clip(seed, 4, 64, scene, truth=("depth", "flow"))
        clips[f"surgery_{seed}"] = (split, site, clip)
    return table, records, clips


def test_masks_boxes_tracks_phases_and_sentences(made):
    table, records, clips = made
    assert {v.video_id for vs in table.splits.values() for v in vs} == set(clips)
    said = 0
    for name, (_, site, clip) in clips.items():
        for t, record in enumerate(records[name]):
            seen = clip.visible[t]
            reading.same(record["instances"][..., 0], clip.label_maps[t], name)
            reading.same(record["parts"][..., 0], clip.part_maps[t], name)
            reading.same(record["instance_ids"], np.flatnonzero(seen) + 1, name)
            reading.same(record["boxes_xyxy"], clip.boxes_xyxy[t][seen], name)
            reading.same(record["track_ids"], clip.track_ids[t][seen], name)
            assert (record["phase"], record["is_cut"]) == (clip.phase_ids[t], clip.cuts[t])
            assert record["site"] == site
            wanted = [
                (e.object_id, e.text)
                for e in clip.expressions
                if e.first_frame <= t <= e.last_frame
            ]
            found = record["expressions"]
            texts = [text.decode() for text in found["text"]]
            assert list(zip(map(int, found["instance_id"]), texts, strict=True)) == wanted
            said += len(wanted)
            assert np.abs(record["image"].astype(int) - clip.frames_u8[t]).mean() < 6
    assert all(clip.phase_ids.min() >= 0 for _, _, clip in clips.values())
    assert said > 100


def test_depth_flow_and_raters(made):
    _, records, clips = made
    for name, (_, _, clip) in clips.items():
        for t, record in enumerate(records[name]):
            depth = record["depth"][..., 0] / 100
            assert np.abs(depth - clip.depth_mm[t]).max() <= 0.00501
            unknown = (record["flow"] == FLOW_UNKNOWN).all(-1)
            if t == 3:
                assert unknown.all()
            else:
                reading.same(~unknown, clip.flow_valid[t], name)
                flow = record["flow"][~unknown] / 64
                assert np.abs(flow - clip.flow_px[t][~unknown]).max() <= 1 / 128 + 1e-6
            for rater in RATERS:
                wanted = annotate(clip.label_maps[t], rater, clip.seed, t)
                reading.same(record[f"instances_{rater}"][..., 0], wanted, rater)


def test_sites_are_splits(made):
    table, _, clips = made
    for split in ("train", "val", "test"):
        for site in (0, 1):
            wanted = {n for n, (s, k, _) in clips.items() if (s, k) == (split, site)}
            name = f"{split}_site{site}"
            found = {v.video_id for _, v in table.videos(name)} if name in table.named else set()
            assert found == wanted


def test_the_size_is_the_configs(tmp_path):
    config = with_side(GeneratedConfig(name="x", videos=(1, 0, 0), num_frames=2, size=64), 32)
    with pytest.raises(ValueError, match="--side: generated frames have the size"):
        Builder(data_dir=str(tmp_path), config=config).find(tmp_path)


def test_test_videos_of_the_long_config_are_longer_and_ten_frames_a_second():
    builder_config = next(c for c in Builder.BUILDER_CONFIGS if c.name == "long")
    builder = Builder.__new__(Builder)
    builder._builder_config = builder_config
    videos = builder.find(None)
    lengths = {v.split: len(v.frames) for v in videos}
    assert lengths == {"train": 300, "val": 300, "test": 700}
    assert {v.fps for v in videos} == {10.0} and videos[0].frames[10].time_s == 1.0
    assert all(v.video_id.startswith("long_") for v in videos)
