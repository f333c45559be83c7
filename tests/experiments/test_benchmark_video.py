"""The video benchmark's flags, arithmetic, turns, counted operations and files, by hand values."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from experiments.video_benchmark import flops, frames, official_peer, options, peak_memory, report
from experiments.video_benchmark.options import BenchmarkOptions, check_options
from experiments.video_benchmark.rounds import Agreement, Timed, take_turns
from experiments.video_benchmark.run import peer_weights
from experiments.video_benchmark.timing import Frame, best_ratio, percentile, round_ratios
from surgjax.inference.programs import OBJECT_BUCKETS, Programs
from surgjax.inference.stream import Stream
from surgjax.memory.registry import options_for
from surgjax.models.sam2 import init_params
from surgjax.testing import debug_config

ROOT = Path(__file__).resolve().parents[2]


# ---- flags -------------------------------------------------------------------------------------

BAD = {
    "one of nano|tiny": dict(model="huge"),
    "--image_size=500: a multiple of 32": dict(image_size=500),
    "--precision=fp16": dict(precision="fp16"),
    "--objects=0: 1 to 254": dict(objects=0),
    "--streams=0: at least 1": dict(streams=0),
    "--streams=2 does not go with --compare": dict(streams=2, compare="torch"),
    "--chunk=4 does not go with --compare": dict(chunk=4, compare="torch"),
    "expected; --frames=41 would do": dict(frames=40, chunk=4),
    "--threads=0: 1 to": dict(threads=0),
    "--threads=100000: 1 to": dict(threads=100_000),
    "--checkpoint=no/such.pt: no such file": dict(checkpoint="no/such.pt"),
    "--video=no.mp4: no such file": dict(video="no.mp4"),
    "--frames=8: more than 8": dict(frames=8),
    "--rounds needs --compare": dict(rounds=3),
    "--official_repo needs --compare": dict(official_repo="."),
    "--peer_autocast needs --compare": dict(peer_autocast="bf16"),
    "--peer_compile needs --compare": dict(peer_compile=True),
    "--compare=tensorflow: one of torch, official": dict(compare="tensorflow"),
    "the folder no_such_folder does not exist": dict(output="no_such_folder/out.json"),
    "the name of a .json file": dict(output="out.txt"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_flags_are_refused(message):
    message, values = message.replace("one of nano|tiny", "--model=huge: one of"), BAD[message]
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        check_options(BenchmarkOptions(**values))


def test_bad_flags_of_a_peer_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: name)

    def refused(match, **values):
        with pytest.raises(ValueError, match=match):
            check_options(BenchmarkOptions(**values))

    refused("--rounds=0: at least 1", compare="torch", rounds=0)
    refused("--frames=51 would do", compare="torch", frames=49, rounds=43)
    refused("as many frames in every round.*--frames=20", compare="torch", frames=18, rounds=3)
    refused("--compare=official, found --compare=torch", compare="torch", official_repo="x")
    refused("needs --official_repo=PATH", compare="official", model="tiny")
    refused("sam2_video_predictor.py expected", compare="official", official_repo=str(tmp_path))
    (tmp_path / "sam2").mkdir()
    (tmp_path / "sam2" / "sam2_video_predictor.py").touch()
    refused("the original has tiny, small", compare="official", official_repo=str(tmp_path))
    good = BenchmarkOptions(compare="official", official_repo=str(tmp_path), model="tiny")
    check_options(good)
    assert good.steps_per_round == 8 and BenchmarkOptions(frames=20).steps_per_round == 12
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    refused("--compare=torch needs torch, which is not installed", compare="torch")


def test_command_refuses_in_one_line_and_loads_no_framework_before():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "experiments.benchmark_video", "--streams=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    said = [line for line in lines if not line.startswith("import time:")]
    assert done.returncode == 1 and len(said) == 1, said
    assert said[0].startswith("benchmark_video: --streams=0: at least 1 expected.")
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "absl.flags" in loaded
    assert not loaded & {"jax", "torch"}  # they would size their pools before --threads


def test_threads_bind_the_process():
    code = "from experiments.video_benchmark.options import use_threads as u; import os; "
    code += "print(u(1), len(os.sched_getaffinity(0)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr
    before = os.sched_getaffinity(0)
    assert options.use_threads(None) == len(before) == len(os.sched_getaffinity(0))


def test_limit_of_objects_is_the_trackers():
    assert options.MAX_OBJECTS == OBJECT_BUCKETS[-1]


# ---- arithmetic --------------------------------------------------------------------------------


def timed(steps, totals, parts=()):
    return Timed(steps, totals, list(parts))


ABOUT = {
    "model": "tiny", "image_size": 512, "precision": "fp32", "memory": "recent", "objects": 1,
    "streams": 1, "frames": 14, "device": "cpu", "threads": 2,
}  # fmt: skip


def test_percentiles_are_linear_between_neighbours():
    assert percentile([50, 10, 40, 20, 30], 50) == 30
    assert percentile([50, 10, 40, 20, 30], 95) == pytest.approx(48)


def test_figures_of_one_side():
    times = timed([[10.0, 20.0, 30.0], [40.0, 50.0]], [[20.0, 30.0, 40.0], [50.0, 60.0]])
    found = report.side_figures(ABOUT, times, 3.5, 100.0, 6e9, 4e11)
    assert tuple(found) == (
        "model", "image_size", "precision", "memory", "objects", "streams", "frames", "device",
        "threads", "compile_seconds", "step_ms_p50", "step_ms_p95", "total_ms_p50",
        "total_ms_p95", "fps", "peak_memory_mib", "flops_per_frame", "roofline_share",
    )  # fmt: skip
    assert found["step_ms_p50"] == 30 and found["step_ms_p95"] == pytest.approx(48)
    assert found["total_ms_p50"] == 40 and found["total_ms_p95"] == pytest.approx(58)
    assert found["fps"] == pytest.approx(25)  # 5 frames in 200 ms
    assert found["roofline_share"] == pytest.approx(0.5)  # 2e11 of 4e11 a second
    unknown = report.side_figures(ABOUT, times, 3.5, None, None, 4e11)
    assert unknown["roofline_share"] is None and unknown["peak_memory_mib"] is None


def test_ratios_are_formed_within_rounds():
    ours = [[10.0, 20.0, 30.0], [40.0, 40.0, 40.0], [9.0, 9.0, 900.0]]
    peer = [[40.0, 40.0, 40.0], [50.0, 50.0, 100.0], [10.0, 10.0, 10.0]]
    assert round_ratios(ours, peer) == pytest.approx([0.5, 0.8, 0.9])
    assert best_ratio(ours, peer) == pytest.approx(0.9)
    parts = [{"image_encoder": 4.0}, {"image_encoder": 6.0}, {"image_encoder": 50.0}]
    found = report.comparison(timed(ours, ours, parts), timed(peer, peer, parts[:1]), {"fps": 1})
    assert tuple(found) == ("peer", "ratio", "ratio_min", "rounds", "parts")
    assert found["ratio"] == pytest.approx(0.8) and found["ratio_min"] == pytest.approx(0.9)
    assert found["rounds"] == 3 and found["peer"] == {"fps": 1}
    assert found["parts"] == {"ours": {"image_encoder": 6.0}, "peer": {"image_encoder": 4.0}}


class Scripted:
    """A side with given times, which writes down when it was called."""

    def __init__(self, name, calls, step_ms, mask):
        self.name, self.calls, self.mask = name, calls, mask
        self.step_ms = itertools.cycle(step_ms)

    def advance(self):
        self.calls.append(self.name)
        step = next(self.step_ms)
        return Frame(step, step + 1, np.array(self.mask, bool)[None, None])

    def part_times(self):
        return {"image_encoder": 1.0}


def test_sides_take_turns_and_their_masks_are_compared():
    calls, seen = [], []
    ours = Scripted("a", calls, [1.0, 2.0], [1, 1, 0, 0])
    peer = Scripted("b", calls, [4.0], [1, 0, 0, 0])

    def after(number, mine, theirs):
        seen.append((number, mine.step_ms[-1], theirs.step_ms[-1]))

    mine, theirs, agreement = take_turns(ours, peer, 3, 2, after)
    assert "".join(calls) == "aabb" + "bbaa" + "aabb"
    assert seen == [(k, [1.0, 2.0], [4.0, 4.0]) for k in range(3)]
    assert mine.total_ms == [[2.0, 3.0]] * 3 and theirs.step_ms == [[4.0, 4.0]] * 3
    assert len(mine.parts) == 3 and len(theirs.parts) == 6
    assert agreement.ious == [0.5] * 6 and agreement.covered == [0.5] * 6
    assert "mean IoU 0.5000" in str(agreement)


def test_empty_masks_agree_and_other_shapes_are_refused():
    agreement = Agreement()
    agreement.add(np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3), bool))
    assert agreement.ious == [1.0, 1.0]
    with pytest.raises(RuntimeError, match=r"\(1, 3, 3\) and \(2, 3, 3\)"):
        agreement.add(np.zeros((1, 3, 3), bool), np.zeros((2, 3, 3), bool))


def test_table_and_file(tmp_path):
    times = timed([[10.0]], [[20.0]], [{"image_encoder": 7.0}])
    found = report.side_figures(ABOUT, times, 3.5, 100.0, None, 4e11)
    peer = report.side_figures(ABOUT | {"device": "torch"}, times, 0.0, 90.0, 1e9, 4e11)
    result = found | report.comparison(times, times, peer)
    text = report.table(result, ["surgjax", "transformers"], [100.0, 90.0])
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows["peak memory"].split()[-4:] == ["100", "MiB", "90", "MiB"]
    assert rows["frames/s, model alone"].split()[-2:] == ["100.00", "90.00"]
    assert "ratio of steps, ours / transformers: 1.000 (median of 1 rounds)" in text
    report.write(str(tmp_path / "out.json"), result)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    with pytest.raises(ValueError):  # nan is no JSON, and leaves what was there
        report.write(str(tmp_path / "out.json"), {"ratio": float("nan")})
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


# ---- operations --------------------------------------------------------------------------------


def test_products_of_a_traced_program():
    x = jnp.ones((8, 8))
    one = 2 * 8**3

    def products(function, *args, **kwargs):
        return flops.products(jax.make_jaxpr(function)(*args), **kwargs)

    def repeated(x):
        return lax.scan(lambda c, _: (jnp.tanh(c @ x), None), x, None, length=7)[0]

    assert products(lambda x: x @ x, x) == one
    assert products(repeated, x) == 7 * one
    assert products(repeated, x, lengths=False) == one
    assert products(lambda x: repeated(jax.checkpoint(repeated)(x)), x) == 14 * one
    assert products(lambda x, n: lax.fori_loop(0, n, lambda _, c: c @ x, x), x, 5) == one
    assert products(lambda x, p: lax.cond(p, lambda: x, lambda: x @ x @ x), x, True) == 2 * one
    image, kernel = jnp.ones((1, 4, 4, 6)), jnp.ones((3, 3, 2, 9))
    grouped = products(
        lambda x, k: lax.conv_general_dilated(
            x, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
        ),
        image,
        kernel,
    )
    assert grouped == 2 * (2 * 2 * 9) * (3 * 3 * 2)


def test_xla_counts_the_body_of_a_loop_once():
    """What the correction rests on; an XLA that counts iterations must fail here."""
    x, one = jnp.ones((32, 32)), 2 * 32**3

    def known(x):
        return lax.scan(lambda c, _: (jnp.tanh(c @ x), None), x, None, length=7)[0]

    def unknown(x, n):
        return lax.fori_loop(0, n, lambda _, c: jnp.tanh(c @ x), x)

    for compiled in (jax.jit(known).lower(x).compile(), jax.jit(unknown).lower(x, 7).compile()):
        assert one <= flops.reported(compiled) < 1.2 * one


def test_one_more_memory_costs_its_keys_scores_and_sums():
    config = debug_config()
    stream = Stream.create(config)
    programs = Programs(stream, init_params(config))
    state = stream.init_state(1, frame_index=9)
    side = config.image_size
    features = jax.eval_shape(stream.encode, programs.params, jnp.zeros((side, side, 3)))

    def dense(recent):
        index = np.full((1, config.num_maskmem - 1), -1, np.int32)
        index[0, :recent] = 8 - np.arange(recent)
        cond = np.full_like(state.bank.cond_index, -1)
        cond[0, 0] = 0
        bank = state.bank.replace(recent_index=jnp.asarray(index), cond_index=jnp.asarray(cond))
        filled = state.replace(bank=bank)
        assert flops.memories_read(stream, filled) == recent + 1
        return flops._memory_attention(programs, filled, features)

    (tile, three), (same_tile, four) = dense(2), dense(3)
    n, d, m = config.grid**2, config.hidden_dim, config.memory_dim
    assert tile == same_tile > 0
    assert four - three == config.memory_layers * 2 * (n * m * d + n * n * d + n * n * m)


# ---- frames, memory, the original's files ------------------------------------------------------


def test_bundled_clip_runs_back_and_forth():
    clip = [np.full((4, 8, 3), 10 * k, np.uint8) for k in range(3)]
    source = frames.RepeatedClip(clip, 7, 16)
    assert (source.height, source.width, len(source)) == (8, 16, 7)
    assert [int(frame[0, 0, 0]) for frame in source] == [0, 10, 20, 10, 0, 10, 20]
    assert source[3].shape == (8, 16, 3) and source[3].dtype == np.uint8


def test_a_video_must_have_the_frames(tmp_path):
    from surgjax.inference.frames import open_video

    source = open_video(np.zeros((3, 4, 4, 3), np.uint8))
    assert len(frames.FirstFrames(source, 2)) == 2
    with pytest.raises(ValueError, match="--frames=4: array has 3 frames only"):
        frames.FirstFrames(source, 4)
    with pytest.raises(IndexError):
        frames.FirstFrames(source, 2)[2]


def test_boxes_lie_apart_in_the_frame():
    boxes = np.array(frames.grid_boxes(5, 60, 90))
    assert boxes[0].tolist() == pytest.approx([6, 4, 24, 16])
    x0, y0, x1, y1 = boxes.T
    assert (x0 < x1).all() and (y0 < y1).all() and x1.max() < 90 and y1.max() < 60
    for i, j in itertools.combinations(range(5), 2):
        assert x1[i] < x0[j] or x1[j] < x0[i] or y1[i] < y0[j] or y1[j] < y0[i]


def test_peak_of_a_child_is_its_own():
    """A child's figure holds what it allocated, and not what its parent holds."""
    held = np.ones(2**25)  # 256 MiB here
    code = "from experiments.video_benchmark.peak_memory import process_peak_mib as p\n"
    code += "before = p(); x = bytearray(b'1' * 2**26); del x; print(before, p())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    before, after = map(float, done.stdout.split())
    assert before < 200 and 60 < after - before < 200
    assert peak_memory.process_peak_mib() > held.nbytes / 2**20


def test_peers_are_measured_without_jax_in_their_process():
    code = "import sys; from experiments.video_benchmark import options, peak_memory, run\n"
    code += "from experiments.video_benchmark import official_peer, transformers_peer\n"
    code += "assert 'jax' not in sys.modules and 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_settings_of_the_original(tmp_path):
    folder = tmp_path / "sam2" / "configs" / "sam2.1"
    folder.mkdir(parents=True)
    config = debug_config().replace(name="base_plus", image_size=512)
    with pytest.raises(ValueError, match="sam2.1_hiera_b.*expected, not found"):
        official_peer.settings(tmp_path, config)
    (folder / "sam2.1_hiera_b+.yaml").write_text(
        "model:\n  _target_: a.B\n  image_size: 1024\n  scale: 1e-6\n  shape: [1, 2]\n"
        "  part:\n    _target_: fractions.Fraction\n    numerator: 3\n    denominator: 4\n"
    )
    tree = official_peer.settings(tmp_path, config)
    assert tree["image_size"] == 512 and tree["scale"] == 1e-6 and tree["shape"] == [1, 2]
    assert tree["_target_"].endswith("SAM2VideoPredictor")
    made = official_peer.made_of({"parts": [tree["part"]]})
    assert float(made["parts"][0]) == 0.75


def test_memories_of_another_width_have_no_peer_in_transformers():
    config = debug_config()
    with pytest.raises(ValueError, match="debug has memories of width 16; .* written for 64"):
        peer_weights(BenchmarkOptions(compare="torch"), init_params(config), config)


def test_policy_of_the_default_has_no_options():
    assert options_for(BenchmarkOptions().memory, BenchmarkOptions().memory_options) is not None
