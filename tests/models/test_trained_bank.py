"""Which text banks weights take: those that name what was trained."""

import dataclasses

import numpy as np
import pytest

from experiments.chosen_text_bank import open_bank
from surgjax.inference.object_classes import ObjectClassifier
from surgjax.models.trained_bank import check_bank, trained_bank
from surgjax.testing import debug_config, lively_params
from surgjax.text.text_bank import CLIP, TextBank


def _fallback(names):
    return open_bank("--text_bank", f"fallback:{names}")


def _clip(seed, weights, *names):
    rows = np.linalg.qr(np.random.default_rng(seed).standard_normal((512, len(names))))[0].T
    flags = np.ones(len(names), bool)
    return TextBank(names, rows.astype(np.float32), CLIP, flags, {"weights": weights})


def test_a_fallback_bank_must_be_the_trained_one_row_by_row():
    trained = trained_bank(_fallback("grasper,hook,scissors"))
    for same in ("grasper,hook,scissors", "grasper,hook"):
        check_bank(_fallback(same), trained)
    for other, said in (
        ("hook,grasper", "'hook' had another row, since rows depend on their place"),
        ("grasper,hook,scissors,snare", "'snare' was not among the classes"),
        ("grasper,snare", "'snare' was not among the classes"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            check_bank(_fallback(other), trained)
        assert trained.sha256[:12] in str(caught.value)
        assert trained_bank(_fallback(other)).sha256[:12] in str(caught.value)


def test_a_bank_of_clip_may_have_other_classes_but_not_other_weights():
    trained = trained_bank(_clip(0, "a", "grasper", "hook"))
    check_bank(_clip(1, "a", "new", "hook", "grasper"), trained)
    check_bank(_clip(1, "a", "new", "hook"), dataclasses.replace(trained, weights=""))
    with pytest.raises(ValueError, match="other weights of CLIP"):
        check_bank(_clip(1, "b", "grasper", "hook"), trained)
    with pytest.raises(ValueError, match="another kind"):
        check_bank(_fallback("grasper,hook"), trained)


def test_a_predictor_refuses_another_bank_and_takes_any_where_the_weights_do_not_say():
    config = debug_config().replace(semantic_token=True)
    params, bank = lively_params(config), _fallback("grasper,hook")
    swapped = _fallback("hook,grasper")
    ObjectClassifier(swapped, params, config)
    known = config.replace(text_bank=trained_bank(bank))
    assert ObjectClassifier(bank, params, known).bank.names == ("grasper", "hook")
    with pytest.raises(ValueError, match="the weights were trained with .*grasper, hook"):
        ObjectClassifier(swapped, params, known)
