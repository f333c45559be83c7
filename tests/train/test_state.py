"""Checkpoints: whole or absent, resumable, refused for another model."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.train import state as train_state


def _state(width=3, seed=0):
    params = {"layer": {"kernel": jnp.full((2, width), 0.5), "bias": jnp.zeros(width)}}
    return train_state.init_state(params, optax.adam(1e-3), seed)


def test_round_trip_keeps_every_leaf(tmp_path):
    state = _state(seed=7).replace(step=jnp.array(12, jnp.int32))
    path = train_state.save_state(tmp_path, state)
    assert path.name == "checkpoint_0000012.msgpack"
    loaded = train_state.load_state(path, _state())
    assert int(loaded.step) == 12
    np.testing.assert_array_equal(jax.random.key_data(loaded.key), jax.random.key_data(state.key))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, state.params)


def test_only_the_newest_are_kept_and_nothing_half_written_counts(tmp_path):
    for step in (1, 2, 3):
        train_state.save_state(tmp_path, _state().replace(step=jnp.array(step, jnp.int32)), keep=2)
    (tmp_path / "checkpoint_0000009.msgpack.tmp").write_bytes(b"half")
    names = [path.name for path in train_state.checkpoints_in(tmp_path)]
    assert names == ["checkpoint_0000002.msgpack", "checkpoint_0000003.msgpack"]


def test_another_model_is_refused(tmp_path):
    path = train_state.save_state(tmp_path, _state(width=3))
    with pytest.raises(ValueError, match=r"bias.*has shape \(3,\), expected \(4,\)"):
        train_state.load_state(path, _state(width=4))


def test_damaged_file_is_refused(tmp_path):
    path = train_state.save_state(tmp_path, _state())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="checkpoint_0000000.msgpack"):
        train_state.load_state(path, _state())
