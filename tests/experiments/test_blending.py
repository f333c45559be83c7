"""Weights between two checkpoints, by hand."""

import numpy as np
import pytest

from experiments.promptable_sam2.blending import blend, parts_of_run_alone


def _tree(value, shape=(2, 3)):
    return {"a": {"kernel": np.full(shape, value, np.float16)}, "b": np.float32(value)}


def test_a_share_of_each_array():
    found = blend(_tree(4.0), _tree(0.0), 0.25)
    assert found["a"]["kernel"].dtype == np.float32 and found["b"] == 1.0
    np.testing.assert_array_equal(found["a"]["kernel"], np.full((2, 3), 1.0))
    np.testing.assert_array_equal(blend(_tree(4.0), _tree(9.0), 1.0)["a"]["kernel"], 4.0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="--share 1.5: expected 0..1"):
        blend(_tree(1.0), _tree(1.0), 1.5)
    with pytest.raises(ValueError, match="--blend: the weights are not of the variant"):
        blend(_tree(1.0), _tree(1.0, (3, 2)), 0.5)
    with pytest.raises(ValueError, match="--blend: the weights are not of the variant"):
        blend(_tree(1.0), {"a": _tree(1.0)["a"]}, 0.5)


def test_parts_that_the_first_weights_lack_are_the_runs():
    run = {**_tree(4.0), "semantic": {"token": np.ones(3)}, "long_tpos_enc": np.ones(2) / 3}
    first = {**_tree(0.0), "long_tpos_enc": np.zeros(2)}
    assert parts_of_run_alone(run, first) == ["semantic"]
    found = blend(run, first, 0.5)
    np.testing.assert_array_equal(found["semantic"]["token"], np.ones(3))
    np.testing.assert_allclose(found["long_tpos_enc"], 1 / 6)
    assert found["b"] == 2.0
    with pytest.raises(ValueError, match="--blend: the weights are not of the variant"):
        blend(first, run, 0.5)  # the run never had a token
