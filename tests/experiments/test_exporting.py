"""The export of a training run: the model and the bank are those the run recorded."""

import json

import jax
import numpy as np
import optax
import pytest

from experiments.chosen_text_bank import open_bank
from experiments.promptable_sam2 import exporting
from surgjax import checkpoints
from surgjax.models import sam2, variants
from surgjax.train import state as train_state
from surgjax.train.checkpointing import Checkpoints

BANK = "fallback:grasper,hook"
BOTH_WAYS = variants.get_config("debug").replace(semantic_token=True, tsl_bidirectional=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a token that masks read, and the weights it started from, without one."""
    folder = tmp_path_factory.mktemp("run")
    params = jax.tree.map(np.asarray, sam2.init_params(BOTH_WAYS, 0))
    with Checkpoints(folder, best_metric="jf") as saved:
        state = train_state.init_state(params, optax.sgd(1.0), 0)
        saved.save(state.replace(step=np.int32(3)), {"jf": 0.5})
    first = folder / "first.safetensors"
    bare = variants.get_config("debug")
    checkpoints.save_safetensors(first, sam2.init_params(bare, 1), bare)
    return folder, first, params


def _record(folder, **changes):
    values = {
        "model": {"variant": "debug", "semantic_token": True, "tsl_bidirectional": True},
        "prompts": {"semantic_weight": 0.1},
        "text_bank": BANK,
        "text_bank_sha256": open_bank("", BANK).sha256(),
    }
    (folder / "config.json").write_text(json.dumps(values | changes))


def _export(folder, output, **more):
    exporting.run(str(folder), str(output), **more)
    return checkpoints.load(output)


def test_the_model_and_the_bank_are_those_of_the_run(run, tmp_path):
    folder, _, _ = run
    _record(folder)
    config = _export(folder, tmp_path / "a.safetensors").config
    assert config.replace(text_bank=None) == BOTH_WAYS
    assert config.text_bank and config.text_bank.sha256 == open_bank("", BANK).sha256()


def test_another_bank_than_the_runs_is_refused(run, tmp_path):
    folder, _, _ = run
    _record(folder, text_bank="fallback:hook,grasper")
    with pytest.raises(ValueError, match="the run was trained with"):
        _export(folder, tmp_path / "a.safetensors")
    _record(folder, text_bank=str(tmp_path / "gone.safetensors"))
    with pytest.raises(ValueError, match="no such file.*--text_bank says where"):
        _export(folder, tmp_path / "a.safetensors")
    assert _export(folder, tmp_path / "a.safetensors", bank=BANK).config.text_bank
    with pytest.raises(ValueError, match="--variant nano: .* says debug"):
        _export(folder, tmp_path / "a.safetensors", bank=BANK, variant="nano")


def test_a_blend_keeps_the_token_of_the_run(run, tmp_path, capsys):
    folder, first, params = run
    _record(folder)
    found = _export(folder, tmp_path / "a.safetensors", first=str(first))
    assert "semantic: the run's own" in capsys.readouterr().out
    assert found.config.tsl_bidirectional
    token, mine = found.params["semantic"], params["semantic"]
    jax.tree.map(np.testing.assert_array_equal, token, mine)
    theirs = checkpoints.load(first).params["maskmem_tpos_enc"]
    mean = (params["maskmem_tpos_enc"] + theirs) / 2
    np.testing.assert_allclose(found.params["maskmem_tpos_enc"], mean, rtol=1e-6)
