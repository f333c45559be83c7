"""Checkpoints: whole or left out, resumable, refused for another model, policies, topologies."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.train import checkpoint_files
from surgjax.train import state as train_state
from surgjax.train.checkpointing import Checkpoints, steps_in

ROOT = Path(__file__).resolve().parents[2]


def _optimizer():
    """With state of every kind: masked and frozen parts, counters, accumulated gradients."""
    parts = optax.partition(
        {"train": optax.adam(1e-3), "freeze": optax.set_to_zero()},
        {"layer": {"kernel": "train", "bias": "freeze"}},
    )
    return optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), parts), 2)


def _state(step=0, width=3, seed=0, dtype=jnp.float32):
    kernel = jnp.full((2, width), step, dtype)
    params = {"layer": {"kernel": kernel, "bias": jnp.zeros(width)}}
    state = train_state.init_state(params, _optimizer(), seed)
    return state.replace(step=jnp.array(step, jnp.int32))


def _save(folder, *steps, metrics=None, **options):
    with Checkpoints(folder, **options) as checkpoints:
        for step in steps:
            scores = None if metrics is None or step not in metrics else {"jf": metrics[step]}
            checkpoints.save(_state(step, seed=7), scores)


def _restore(folder, target=None):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(_state() if target is None else target)


def _assert_equal(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_round_trip_keeps_every_leaf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a relative folder will do
    assert _restore("run") is None
    _save("run", 12)
    _assert_equal(_restore("run"), _state(12, seed=7))
    assert sorted(p.name for p in Path("run/checkpoints/12").iterdir() if p.is_dir()) == [
        "ema_params", "params", "rest",
    ]  # fmt: skip


def test_what_is_saved_is_not_changed_by_the_steps_that_follow(tmp_path):
    bump = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    state = train_state.init_state({"a": jnp.zeros((1500, 1500))}, optax.sgd(1.0), 0)
    target = state.replace(params={"a": jax.ShapeDtypeStruct((1500, 1500), jnp.float32)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state.replace(step=jnp.int32(1)))
        params = state.params
        for _ in range(20):
            params = bump(params)
        checkpoints.wait()
        found = checkpoints.restore(target)
    assert found is not None
    assert not np.any(found.params["a"]) and np.all(np.asarray(params["a"]) == 20)


def test_latest_and_best_are_kept(tmp_path):
    scores = {2: 0.1, 3: 0.9, 4: 0.3, 5: float("nan"), 6: 0.2}
    _save(tmp_path, *range(1, 9), metrics=scores, best_metric="jf")
    assert steps_in(tmp_path) == [3, 7, 8]
    _save(tmp_path / "low", *range(1, 9), metrics=scores, best_metric="jf", best_mode="min")
    assert steps_in(tmp_path / "low") == [2, 7, 8]
    _save(tmp_path / "many", 1, 2, 3, 4, keep_latest=3)
    assert steps_in(tmp_path / "many") == [2, 3, 4]


def test_best_metric_that_is_not_there_is_refused(tmp_path):
    with Checkpoints(tmp_path, best_metric="dice") as checkpoints:
        with pytest.raises(ValueError, match=r"'dice' is not among .*\['jf'\]"):
            checkpoints.save(_state(1), {"jf": 1.0})


def test_another_model_or_optimizer_is_refused_and_nothing_is_moved(tmp_path):
    _save(tmp_path, 1)
    with pytest.raises(ValueError, match=r"bias: found float32\[3\], expected float32\[4\]"):
        _restore(tmp_path, _state(width=4))
    with pytest.raises(ValueError, match=r"kernel: found float32.*expected bfloat16"):
        _restore(tmp_path, _state(dtype=jnp.bfloat16))
    plain = train_state.init_state(_state().params, optax.sgd(1.0), 0)
    with pytest.raises(ValueError, match="opt_state.*not expected"):
        _restore(tmp_path, plain)
    assert steps_in(tmp_path) == [1] and not (tmp_path / "checkpoints_damaged").exists()


def _largest_file(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and "/d/" in p.as_posix())
    return max(files, key=lambda p: p.stat().st_size)


def _damage(folder, how):
    victim = _largest_file(folder)
    if how == "gone":
        victim.unlink()
    elif how == "short":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif how == "changed":
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    else:
        (folder / checkpoint_files.FILES_NAME).write_text("{")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("gone", "is missing"),
        ("short", "bytes, expected"),
        ("changed", "other content"),
        ("list", "files.json cannot be read"),
    ],
)
def test_a_damaged_step_is_left_out_with_a_message(tmp_path, caplog, how, said):
    _save(tmp_path, 3, 6)
    _damage(tmp_path / "checkpoints" / "6", how)
    _assert_equal(_restore(tmp_path), _state(3, seed=7))
    assert "checkpoints/6: " in caplog.text and said in caplog.text
    assert (tmp_path / "checkpoints_damaged" / "6").is_dir()
    _save(tmp_path, 6)  # the steps taken again are saved again
    _assert_equal(_restore(tmp_path), _state(6, seed=7))


def test_only_damaged_steps_is_an_error_not_a_fresh_start(tmp_path):
    _save(tmp_path, 3)
    _damage(tmp_path / "checkpoints" / "3", "short")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"each checkpoint is damaged \(steps \[3\]\)"):
            _restore(tmp_path)


def test_a_step_being_written_does_not_count(tmp_path, caplog):
    _save(tmp_path, 3)
    half = tmp_path / "checkpoints" / "6.orbax-checkpoint-tmp"
    (half / "params").mkdir(parents=True)
    assert int(_restore(tmp_path).step) == 3
    assert "step 6 was not saved to the end" in caplog.text and not half.exists()


def test_the_files_of_an_earlier_version_are_named(tmp_path):
    (tmp_path / "checkpoint_0000100.msgpack").write_bytes(b"")
    with pytest.raises(ValueError, match="of an earlier version"):
        Checkpoints(tmp_path)


_TOPOLOGIES = """
import logging, sys, jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import NamedSharding, PartitionSpec as P
from surgjax.train import state as train_state
from surgjax.train.checkpointing import Checkpoints
from surgjax.train.update import make_step, mesh_shardings

jax.config.update("jax_log_compiles", True)
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("jax").addHandler(handler)

def build(shape):
    count = shape[0] * shape[1]
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]).reshape(shape), ("data", "fsdp"))
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
    params = {"w": np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)}
    params["b"] = np.zeros(8, np.float32)
    state = train_state.init_state(params, optimizer, 0)
    place = lambda x: NamedSharding(mesh, P(None, "fsdp") if x.ndim == 2 else P())
    state = jax.tree.map(lambda x: jax.device_put(x, place(x)), state)
    def loss(params, batch, key):
        return jnp.mean((batch @ params["w"] + params["b"] - 1) ** 2), {}
    step = make_step(loss, optimizer, 0.9, mesh_shardings(state))
    batch = jax.device_put(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8),
                           NamedSharding(mesh, P(("data", "fsdp"))))
    return state, step, batch

def train(state, step, batch, count):
    losses = []
    for n in range(int(state.step), int(state.step) + count):
        state, metrics = step(state, batch, np.float32(0.1), np.int32(n))
        losses.append(float(metrics["loss"]))
    compiled = [line for line in lines if "Finished XLA compilation of jit(step)" in line]
    assert len(compiled) <= 1, compiled
    lines.clear()
    return state, losses

state, step, batch = build((2, 4))
state, _ = train(state, step, batch, 3)
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(state)
reference = train(state, step, batch, 2)[1]
for shape in ((2, 4), (1, 8), (8, 1), (1, 2), (1, 1)):
    fresh, step, batch = build(shape)
    with Checkpoints(sys.argv[1]) as checkpoints:
        state = checkpoints.restore(fresh)
    assert int(state.step) == 3
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, fresh)
    np.testing.assert_allclose(train(state, step, batch, 2)[1], reference, rtol=1e-6)
print("topologies", reference)
"""


def test_saved_on_eight_devices_restored_on_others(tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", _TOPOLOGIES, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "topologies" in done.stdout
