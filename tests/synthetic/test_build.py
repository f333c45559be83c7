"""Shards: planned completely, written whole, resumed, and held-out seeds refused."""

import os

import numpy as np
import pytest

from surgjax.synthetic import build, generate_clip, generate_image
from surgjax.synthetic.names import CATEGORIES


def test_plan_covers_every_seed_once():
    shards = build.plan(1200, 120, seed=7)
    images = np.concatenate([seeds for name, seeds in shards if name.startswith("images")])
    clips = np.concatenate([seeds for name, seeds in shards if name.startswith("clips")])
    assert sorted(images) == list(range(7, 1207))
    assert sorted(clips) == list(range(7 + build.CLIP_OFFSET, 127 + build.CLIP_OFFSET))
    assert len({name for name, _ in shards}) == len(shards) == 3 + 3


def test_shards_hold_what_the_generator_makes(tmp_path):
    build.build(str(tmp_path), images=2, clips=1, frames=3, size=64, seed=11)
    assert sorted(os.listdir(tmp_path)) == ["clips_00000.npz", "images_00000.npz"]
    with np.load(tmp_path / "images_00000.npz") as shard:
        assert shard["seeds"].tolist() == [11, 12]
        want = generate_image(12, 64)
        np.testing.assert_array_equal(shard["images"][1], want.frames_u8[0])
        np.testing.assert_array_equal(shard["labels"][1], want.label_maps[0])
        np.testing.assert_array_equal(shard["parts"][1], want.part_maps[0])
        named = [name for name in shard["names"][1].tolist() if name]
        assert len(named) == len(want.object_ids) and set(named) <= set(CATEGORIES)
        most = max(len(generate_image(seed, 64).object_ids) for seed in (11, 12))
        assert shard["names"].shape == (2, most)
    with np.load(tmp_path / "clips_00000.npz") as shard:
        want = generate_clip(11 + build.CLIP_OFFSET, 3, 64)
        np.testing.assert_array_equal(shard["frames"][0], want.frames_u8)
        np.testing.assert_array_equal(shard["labels"][0], want.label_maps)


def test_complete_shards_are_kept(tmp_path):
    (tmp_path / "images_00000.npz").write_bytes(b"mine")
    build.build(str(tmp_path), images=1, clips=0, frames=1, size=32, seed=0)
    assert (tmp_path / "images_00000.npz").read_bytes() == b"mine"


def test_held_out_seeds_need_the_flag(tmp_path):
    flags = ["--out", str(tmp_path), "--images", "1", "--size", "32"]
    with pytest.raises(SystemExit, match="held out"):
        build.main([*flags, "--seed", str(build.HELD_OUT)])
    assert not os.listdir(tmp_path)
    build.main([*flags, "--seed", str(build.HELD_OUT), "--held_out"])
    assert os.listdir(tmp_path) == ["images_00000.npz"]
