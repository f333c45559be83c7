"""Weights alone, from a run's checkpoints to a folder that tracking loads."""

import jax
import numpy as np
import optax
import pytest

from surgjax import checkpoints
from surgjax.models import sam2, variants
from surgjax.train import averaged
from surgjax.train import state as train_state
from surgjax.train.checkpointing import Checkpoints

CONFIG = variants.get_config("debug")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two checkpoints; the mean of the second one is one higher than its params."""
    folder = tmp_path_factory.mktemp("run")
    params = jax.tree.map(np.asarray, sam2.init_params(CONFIG, 0))
    held = {**params, "auxiliary_head": {"s4": {"kernel": np.zeros((4, 6), np.float32)}}}
    state = train_state.init_state(held, optax.sgd(1.0), 0)
    with Checkpoints(folder, best_metric="jf") as saved:
        saved.save(state.replace(step=np.int32(3)), {"jf": 0.5})
        mean = jax.tree.map(lambda x: x + 1, held)
        saved.save(state.replace(step=np.int32(7), ema_params=mean), {"jf": 0.4})
    return folder, params


def test_the_mean_of_the_newest_step_comes_back_without_the_head(run):
    folder, params = run
    loaded, step = averaged.averaged_params(folder, "debug")
    assert step == 7
    jax.tree.map(np.testing.assert_array_equal, loaded, jax.tree.map(lambda x: x + 1, params))
    assert "auxiliary_head" in averaged.averaged_params(folder, "debug", keep_head=True)[0]


def test_other_steps_and_items_on_request(run):
    folder, params = run
    assert averaged.best_step(folder) == 3
    loaded, _ = averaged.averaged_params(folder, "debug", step=3)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    latest, step = averaged.load_weights(folder, "params")
    assert step == 7
    jax.tree.map(np.testing.assert_array_equal, {k: latest[k] for k in params}, params)
    with pytest.raises(ValueError, match=r"no step 4, found \[3, 7\]"):
        averaged.load_weights(folder, step=4)


def test_an_exported_run_loads_as_any_checkpoint(run, tmp_path):
    folder, params = run
    for _ in range(2):  # a second export replaces the first
        output = averaged.export_run(folder, CONFIG, tmp_path / "export")
    loaded = checkpoints.load(output)
    assert loaded.config == CONFIG
    jax.tree.map(
        np.testing.assert_array_equal, loaded.params, jax.tree.map(lambda x: x + 1, params)
    )


def test_another_variant_and_an_empty_folder_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="parameters are not those of 'nano'"):
        averaged.averaged_params(run[0], "nano")
    with pytest.raises(ValueError, match="no checkpoint found"):
        averaged.averaged_params(tmp_path, "debug")
    with pytest.raises(ValueError, match="no checkpoint with a score"):
        averaged.best_step(tmp_path)
