"""The video benchmark for real, on small models: alone, and beside each peer."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.video_benchmark.frames import grid_boxes, open_frames
from experiments.video_benchmark.options import BenchmarkOptions, available_threads
from experiments.video_benchmark.ours import Ours, weights
from experiments.video_benchmark.report import COMPARE_KEYS, KEYS
from experiments.video_benchmark.run import run
from experiments.video_benchmark.streams import STARTS_APART, Streams

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"image_encoder", "memory_attention", "mask_decoder", "memory_encoder"}


def check_side(found, frames, objects):
    assert set(KEYS) <= set(found) and found["frames"] == frames and found["objects"] == objects
    assert 0 < found["step_ms_p50"] <= found["step_ms_p95"]
    assert found["step_ms_p50"] < found["total_ms_p50"] <= found["total_ms_p95"]
    assert found["fps"] > 0 and found["flops_per_frame"] > 1e6
    assert 0 < found["roofline_share"] < 1.5  # a noisy machine may slow the peak down


def test_alone(tmp_path):
    said = []
    options = BenchmarkOptions(
        model="debug", objects=2, frames=11, output=str(tmp_path / "out.json")
    )
    found = run(options, available_threads(), said.append)
    assert tuple(found) == KEYS
    check_side(found, 11, 2)
    assert found["compile_seconds"] > 0 and found["peak_memory_mib"] > 50
    assert found["memory"] == "recent" and found["precision"] == "fp32"
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert any("share of matmul peak" in line for line in said)


@pytest.mark.parametrize(("streams", "chunk"), [(1, 3), (2, 3)])
def test_chunks_and_streams(streams, chunk):
    said = []
    options = BenchmarkOptions(
        model="debug", objects=2, streams=streams, chunk=chunk, frames=16, memory_runs=False
    )
    assert options.warm_frames == 10
    found = run(options, available_threads(), said.append)
    check_side(found, 16, 2)
    assert found["streams"] == streams and found.get("chunk", 1) == chunk
    assert any(f"{streams} stream(s), 16 frames" in line for line in said)
    assert any(f"chunks of {chunk}" in line for line in said) == (chunk > 1)


def test_streams_are_tracked_as_videos_alone():
    """What is timed is the work that a video by itself is."""
    options = BenchmarkOptions(model="debug", objects=2, streams=2, chunk=3, frames=10)
    params, config, _ = weights(options)
    boxes = grid_boxes(2, config.image_size, config.image_size)
    together = Streams(params, config, options, boxes)
    alone = []
    for v in range(2):
        source = open_frames(None, 10, config.image_size, STARTS_APART * v)
        one = dataclasses.replace(options, streams=1)
        alone.append(Ours(params, config, one, source, boxes))
    for _ in range(1 + 3):
        masks = together.advance().masks
        expected = np.stack([each.advance().masks for each in alone])
        assert masks.shape == expected.shape and (masks != expected).mean() < 1e-3
    assert (expected[0] != expected[1]).mean() > 0.001  # two videos


@pytest.mark.slow
@pytest.mark.parity
def test_beside_transformers(tmp_path):
    """As a user runs it: the masks agree, every key is there, memory comes from processes apart."""
    pytest.importorskip("transformers")
    output = tmp_path / "out.json"
    flags = [
        "--model=nano",
        "--image_size=64",
        "--objects=2",
        "--frames=12",
        "--rounds=2",
        "--threads=1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark_video", *flags, "--compare=torch"]
        + [f"--output={output}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert tuple(found) == (*KEYS, *COMPARE_KEYS) and tuple(found["peer"]) == KEYS
    check_side(found, 12, 2)
    check_side(found["peer"], 12, 2)
    assert found["rounds"] == 2 and found["ratio_min"] > 0 and found["ratio"] > 0
    assert found["threads"] == found["peer"]["threads"] == 1
    assert found["peer"]["compile_seconds"] == 0 and found["peer"]["peak_memory_mib"] > 50
    assert set(found["parts"]["ours"]) == set(found["parts"]["peer"]) == PARTS
    assert all(ms > 0 for side in found["parts"].values() for ms in side.values())
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("masks of both")]
    assert float(line.split("mean IoU ")[1].split(",")[0]) > 0.95, line
    assert 1 < float(line.split("cover ")[1].split("%")[0]) < 99, line
    assert "WARNING" not in done.stdout


@pytest.mark.slow
@pytest.mark.parity
def test_beside_the_original():
    pytest.importorskip("torch")
    from tests.parity import official_training

    checkout = official_training.folder()
    if checkout is None:
        pytest.skip("no checkout of sam2 1.1.0: set SURGJAX_OFFICIAL_SAM2")
    said = []
    options = BenchmarkOptions(
        model="tiny", image_size=128, frames=10, rounds=2, compare="official",
        official_repo=str(checkout), memory_runs=False,
    )  # fmt: skip
    found = run(options, available_threads(), said.append)
    assert tuple(found) == (*KEYS, *COMPARE_KEYS) and tuple(found["peer"]) == KEYS
    check_side(found, 10, 1)
    check_side(found["peer"], 10, 1)
    assert found["peak_memory_mib"] is None and set(found["parts"]["peer"]) == PARTS
    (line,) = [line for line in said if line.startswith("masks of both")]
    assert float(line.split("mean IoU ")[1].split(",")[0]) > 0.95, line


@pytest.mark.parity
def test_transformers_takes_our_weights():
    """The configuration has every size of ours: the weights fit key by key."""
    torch = pytest.importorskip("torch")
    from experiments.video_benchmark.transformers_peer import TransformersPeer
    from surgjax.checkpoints import export_hugging_face
    from surgjax.testing import debug_config, lively_params

    config = debug_config().replace(hidden_dim=128, memory_dim=64)  # transformers takes no other
    state = export_hugging_face(lively_params(config), config)
    threads = torch.get_num_threads()
    peer = TransformersPeer(config, state, threads)
    frames = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3, 64, 64))).float()
    peer.begin(frames, [5.0, 0.0, 0.0], (48, 80), [[8, 8, 40, 40], [4, 4, 20, 30]])
    first, second = peer.advance(), peer.advance()
    assert first.masks.shape == second.masks.shape == (2, 48, 80)
    assert first.total_ms >= 5 + first.step_ms and second.total_ms > second.step_ms > 0
    spent = peer.part_times()
    assert set(spent) == PARTS and sum(spent.values()) < second.step_ms
    third, counted = peer.advance_counted()
    n, d = config.grid**2, config.hidden_dim
    attention = config.memory_layers * 2 * 2 * (n * n * (d + d))  # self-attention of two objects
    assert counted > attention and third.masks.dtype == bool
