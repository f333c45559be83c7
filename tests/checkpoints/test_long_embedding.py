"""The temporal embedding of long memories: only on request, saved and loaded with the rest."""

import jax
import numpy as np
import pytest

from surgjax.checkpoints import (
    CheckpointError,
    add_long_memory_embedding,
    load,
    save_hugging_face,
    save_params,
    save_pt,
    save_safetensors,
)
from surgjax.models.sam2 import Sam2, abstract_params, init_params
from surgjax.testing import debug_config
from surgjax.train.parameter_rules import path_names

CONFIG = debug_config()
WITH = CONFIG.replace(long_memory_embedding=True)


def assert_same(got, want):
    assert path_names(got) == path_names(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_starts_as_the_row_of_conditioning_frames():
    params = init_params(CONFIG)
    longer, config = add_long_memory_embedding(params, CONFIG)
    assert config == WITH and "long_tpos_enc" not in params
    assert_same(longer, init_params(WITH))  # and every other value is as without it
    table = np.asarray(Sam2(WITH).apply({"params": longer}, method="time_table"))
    assert table.shape == (CONFIG.num_maskmem + 1, CONFIG.memory_dim)
    np.testing.assert_array_equal(table[-1], table[-2])


def test_the_tree_is_the_model_s():
    expected = path_names(abstract_params(WITH))
    assert path_names(init_params(WITH)) == expected
    assert set(expected) - set(path_names(abstract_params(CONFIG))) == {"long_tpos_enc"}


@pytest.mark.parametrize("kind", ["pt", "safetensors", "hugging_face", "folder"])
def test_files_keep_it(tmp_path, kind):
    params = init_params(WITH)
    params["long_tpos_enc"] = params["long_tpos_enc"] + 1
    path = tmp_path / {"pt": "x.pt", "folder": "x"}.get(kind, "x.safetensors")
    save = dict(
        pt=save_pt, safetensors=save_safetensors, hugging_face=save_hugging_face, folder=save_params
    )
    save[kind](path, params, WITH)
    loaded = load(path)
    assert loaded.config.long_memory_embedding
    assert_same(loaded.params, params)


def test_a_file_without_it_stays_without(tmp_path):
    save_pt(tmp_path / "x.pt", init_params(CONFIG), CONFIG)
    assert not load(tmp_path / "x.pt").config.long_memory_embedding
    assert not load("nano").config.long_memory_embedding


def test_weights_without_it_are_refused_where_the_model_has_it(tmp_path):
    with pytest.raises(CheckpointError, match="1 missing.*\n.*\n.*long_tpos_enc"):
        save_pt(tmp_path / "x.pt", init_params(CONFIG), WITH)


def test_refusals():
    with pytest.raises(CheckpointError, match="have it already"):
        add_long_memory_embedding(init_params(WITH), WITH)
    with pytest.raises(CheckpointError, match="expected to copy a row of, found none"):
        add_long_memory_embedding({}, CONFIG)
