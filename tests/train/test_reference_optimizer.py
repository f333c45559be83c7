"""Rates, decay and updates of the original's optimizer, from stored files; no torch is needed."""

import functools
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from surgjax.checkpoints.tables.sam2 import table
from surgjax.models import variants
from surgjax.train import build_optimizer, learning_rate_schedule, parameter_rules, schedules
from surgjax.train.optimizers import OptimizerOptions

pytestmark = pytest.mark.golden
FILE = Path(__file__).resolve().parents[1] / "golden" / "sam2_training.npz"
UPDATES, GAIN = 3, 1e4  # as in tests.golden.make_training
OPTIONS = OptimizerOptions(
    lr=5e-6,
    final_lr=5e-7,
    encoder_lr=3e-6,
    encoder_final_lr=3e-7,
    layer_decay=0.9,
    decays="sam2",
    weight_decay=0.1,
    clip_norm=0.1,
    b2=0.999,
    warmup_steps=0,
)


@functools.cache
def golden(variant):
    prefix = f"optimizer/{variant}/"
    with np.load(FILE) as file:
        return {k.removeprefix(prefix): v for k, v in file.items() if k.startswith(prefix)}


def _paths(variant):
    """Our path of each stored parameter; without buffers both sides name the same ones."""
    config = variants.get_config(variant)
    paths = {row.official: row.path for row in table(config) if not row.is_buffer}
    names = golden(variant)["names"].tolist()
    assert sorted(names) == sorted(paths)
    return [paths[name] for name in names], sum(config.stages)


def _tree(paths, values):
    tree = {}
    for path, value in zip(paths, values, strict=True):
        node = tree
        for level in path[:-1]:
            node = node.setdefault(level, {})
        node[path[-1]] = value
    return tree


@pytest.mark.parametrize("variant", ["tiny", "base_plus"])
def test_rates_and_decay_of_every_parameter(variant):
    paths, blocks = _paths(variant)
    stored = golden(variant)
    schedule = learning_rate_schedule(OPTIONS, UPDATES)
    found = [parameter_rules.treatment("/".join(path), blocks, 0.9) for path in paths]
    for step in range(UPDATES):
        rates = schedule(step)
        ours = np.array([float(rates[what.group]) * what.scale for what in found])
        np.testing.assert_allclose(ours, stored["rates"][step], rtol=1e-6)
    decay = np.array([OPTIONS.weight_decay * what.decays for what in found])
    np.testing.assert_array_equal(decay, stored["decay"])
    assert len(set(stored["rates"][0])) == blocks + 3  # blocks, patches, rest of the encoder, base


@pytest.mark.parametrize("holds_its_schedule", [False, True])
def test_updates_are_those_of_torch_adamw_with_clipping(holds_its_schedule):
    paths, blocks = _paths("tiny")
    stored = golden("tiny")
    params = _tree(paths, stored["start"])
    schedule = learning_rate_schedule(OPTIONS, UPDATES)

    def gained(step):
        return jax.tree.map(lambda rate: GAIN * rate, schedule(step))

    optimizer = build_optimizer(OPTIONS, blocks)
    if holds_its_schedule:
        optimizer = schedules.hold(optimizer, gained)

    @jax.jit
    def update(params, state, gradients, rates):
        changes, state = optimizer.update(gradients, state, params)
        if not holds_its_schedule:
            changes = schedules.scale_by_rates(changes, rates)
        return optax.apply_updates(params, changes), state

    state = optimizer.init(params)
    for step in range(UPDATES):
        gradients = _tree(paths, stored["gradients"][step])
        params, state = update(params, state, gradients, gained(step))
    moved = jax.tree.map(lambda end, start: end - start, params, _tree(paths, stored["start"]))
    want = _tree(paths, stored["end"] - stored["start"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), moved, want)


def test_clipping_changes_the_first_stored_gradient_and_not_the_second():
    norms = [np.linalg.norm(step) for step in golden("tiny")["gradients"]]
    assert norms[0] > 0.1 > norms[1]
