"""Where parameters, moments and batches go: by hand, and for the whole state of real models."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from surgjax import train
from surgjax.models import sam2, variants
from surgjax.train import loop, sharding
from surgjax.train.sharding import ShardingOptions


def abstract_mesh(data, fsdp):
    """A mesh without devices: enough to place shapes."""
    return AbstractMesh((data, fsdp), ("data", "fsdp"), (AxisType.Auto,) * 2)


@pytest.mark.parametrize(
    ("shape", "pieces", "spec"),
    [
        ((64, 128), 4, (None, "fsdp")),  # the longest axis
        ((128, 64), 4, ("fsdp",)),
        ((64, 64), 4, (None, "fsdp")),  # the last of equals
        ((3, 3, 16, 8), 8, (None, None, "fsdp")),
        ((99, 64), 4, (None, "fsdp")),  # 99 is longer, but 4 does not divide it
        ((99, 63), 4, ()),
        ((64, 128), 1, ()),
        ((8, 16), 4, ()),  # too small
        ((0, 1024), 4, ()),
        ((), 4, ()),
    ],
)
def test_spec_of_a_shape(shape, pieces, spec):
    options = ShardingOptions(min_size=1024)
    assert sharding.parameter_spec("a/kernel", shape, pieces, options) == PartitionSpec(*spec)


def _abstract_state(variant, optimizer):
    params = sam2.abstract_params(variants.get_config(variant))
    return jax.eval_shape(lambda p: train.init_state(p, optimizer, 0), params)


def _specs(tree):
    return jax.tree.map(lambda place: place.spec, tree)


@pytest.mark.parametrize("name", ["adamw", "muon", "accumulated"])
def test_moments_and_means_lie_with_their_parameter(name):
    options = train.OptimizerOptions(name="muon" if name == "muon" else "adamw")
    optimizer = train.build_optimizer(options)
    if name == "accumulated":
        optimizer = optax.MultiSteps(optimizer, 2).gradient_transformation()
    state = _abstract_state("debug", optimizer)
    placed = sharding.state_shardings(state, abstract_mesh(2, 4), ShardingOptions(min_size=256))
    assert placed.step.spec == placed.key.spec == PartitionSpec()
    assert _specs(placed.ema_params) == _specs(placed.params)
    flat, _ = jax.tree_util.tree_flatten_with_path(placed.params)
    by_name = {jax.tree_util.keystr(path): place.spec for path, place in flat}
    assert 0.3 < np.mean([spec != PartitionSpec() for spec in by_name.values()]) < 0.9
    seen, leaves = 0, jax.tree_util.tree_flatten_with_path(placed.opt_state)[0]
    for path, place in leaves:
        text = jax.tree_util.keystr(path)
        owner = next((n for n in by_name if text.endswith(n)), None)
        assert place.spec == (PartitionSpec() if owner is None else by_name[owner]), text
        seen += owner is not None
    # Adam: two moments each. Muon: one where it is used.
    counts = {"adamw": 2, "accumulated": 3}
    if name in counts:
        assert seen == counts[name] * len(by_name)
    else:
        assert len(by_name) < seen < 2 * len(by_name)


def test_the_longest_path_wins_and_another_shape_is_kept_whole():
    params = {"kernel": jnp.zeros((8, 64)), "a": {"kernel": jnp.zeros((64, 8))}}
    tree = {"mu": params, "factor": {"a": {"kernel": jnp.zeros(64)}}, "count": jnp.zeros(())}
    places = sharding.tree_shardings(tree, params, abstract_mesh(1, 2), ShardingOptions(min_size=1))
    assert _specs(places) == {
        "mu": {"kernel": PartitionSpec(None, "fsdp"), "a": {"kernel": PartitionSpec("fsdp")}},
        "factor": {"a": {"kernel": PartitionSpec()}},
        "count": PartitionSpec(),
    }


def test_paths_that_are_kept_whole():
    state = _abstract_state("debug", optax.adam(1e-3))
    options = ShardingOptions(min_size=256, keep_whole=("^memory_attention/",))
    placed = sharding.state_shardings(state, abstract_mesh(1, 4), options)
    whole, split = set(), set()
    for path, place in jax.tree_util.tree_flatten_with_path(placed)[0]:
        names = jax.tree_util.keystr(path)
        (whole if place.spec == PartitionSpec() else split).add("memory_attention" in names)
    assert True in whole and split == {False}
    with pytest.raises(ValueError, match=r"keep_whole: no parameter .*\['\^nothing/'\]"):
        options = ShardingOptions(keep_whole=("^memory_attention/", "^nothing/"))
        sharding.state_shardings(state, abstract_mesh(1, 4), options)


def test_a_device_of_eight_holds_little_more_than_an_eighth():
    state = _abstract_state("tiny", train.build_optimizer(train.OptimizerOptions()))
    whole = sharding.bytes_per_device(
        state, sharding.state_shardings(state, abstract_mesh(8, 1), ShardingOptions())
    )
    # Parameters and one buffer, two moments, the mean; step, count, two words of the key.
    assert whole == 4 * 4 * (38_962_498 + 256) + 2 * 4 + 8
    pieces = sharding.bytes_per_device(
        state, sharding.state_shardings(state, abstract_mesh(1, 8), ShardingOptions())
    )
    assert whole / 8 < pieces < 1.1 * whole / 8


@pytest.mark.parametrize(
    ("data", "fsdp", "message"),
    [
        (3, 1, "data=3 and fsdp=1 do not fit 8 devices"),
        (-1, 3, "data=-1 and fsdp=3 do not fit 8 devices"),
        (16, 1, "do not fit 8 devices"),
        (-1, -1, "only one of data and fsdp may be -1"),
        (0, 1, "data must be 1 or more, or -1 for the rest, found 0"),
        (-1, -2, "fsdp must be 1 or more, or -1 for the rest, found -2"),
    ],
)
def test_meshes_that_cannot_be(data, fsdp, message):
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(ShardingOptions(data, fsdp), jax.devices() * 8)


def test_a_mesh_of_one_device_leaves_the_compiler_free():
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    assert mesh.shape == {"data": 1, "fsdp": 1}
    assert set(mesh.axis_types) == {AxisType.Auto}  # Explicit axes would break convolutions


@pytest.mark.parametrize(
    ("rows", "axes", "repeated"),
    [
        (16, ("data", "fsdp"), None),
        (4, "fsdp", 2),
        (2, "data", 4),
        (6, "data", 4),
        (1, None, 8),
    ],
)
def test_rows_of_a_batch(rows, axes, repeated, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    place = sharding.batch_sharding(abstract_mesh(2, 4), rows)
    assert place.spec == (PartitionSpec(axes) if axes else PartitionSpec())
    want = f"a batch of {rows} does not divide over 8 devices: {repeated} devices do the work"
    assert [text.startswith(want) for text in said] == [True] * bool(repeated)


def _line_loss(params, batch, key):
    return jnp.mean((batch @ params["w"] - 1.0) ** 2), {"w": params["w"].sum()}


def test_a_step_uses_its_state_up_and_leaves_the_next_in_its_place():
    options = ShardingOptions(min_size=1)
    mesh = sharding.make_mesh(options, jax.devices()[:1])
    optimizer = train.build_optimizer(train.OptimizerOptions())
    params = {"w": np.ones((4, 2), np.float32)}
    state, places = sharding.create_state(params, optimizer, 3, mesh, options)
    rows = sharding.batch_sharding(mesh, 8)
    batch = sharding.place_batch(np.ones((8, 4), np.float32), rows)
    loss = sharding.shard_loss(_line_loss, places)
    gradients = jax.grad(loss, has_aux=True)(state.params, batch, state.key)[0]
    wanted = jax.grad(_line_loss, has_aux=True)(params, np.ones((8, 4), np.float32), None)[0]
    np.testing.assert_array_equal(gradients["w"], wanted["w"])
    step = loop.make_step(loss, optimizer, 0.9, places)
    new, metrics = step(state, batch, np.float32(0.1))
    assert state.params["w"].is_deleted() and int(new.step) == 1
    assert jax.tree.all(jax.tree.map(lambda x, place: x.sharding == place, new, places))
    assert float(metrics["loss"]) == 9.0


def test_a_placed_state_is_the_same():
    state = train.init_state({"w": jnp.arange(8.0)}, optax.adam(1e-3), 7)
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    places = sharding.state_shardings(state, mesh)
    placed = sharding.place_state(state, places)
    np.testing.assert_array_equal(placed.params["w"], state.params["w"])
    assert jax.random.normal(placed.key) == jax.random.normal(state.key)


def test_whole_and_own_rows_are_the_same_in_one_process():
    place = sharding.batch_sharding(sharding.make_mesh(devices=jax.devices()[:1]), 4)
    batch = {"x": np.arange(8).reshape(4, 2), "y": np.arange(4)}
    for is_whole in (False, True):
        placed = sharding.place_batch(batch, place, is_whole)
        jax.tree.map(np.testing.assert_array_equal, placed, batch)
        assert placed["x"].sharding == place
