"""The whole clip loss, all its gradients and one optimizer step against torch, at debug size."""

import importlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from surgjax.checkpoints import import_params  # noqa: E402
from surgjax.models.variants import get_config  # noqa: E402
from surgjax.prompts import clicks  # noqa: E402
from surgjax.train import recipes  # noqa: E402
from surgjax.train.steps import promptable  # noqa: E402
from tests.golden import clip_loss_case as case  # noqa: E402
from tests.parity import clip_loss  # noqa: E402

pytestmark = pytest.mark.parity
LIMIT = 1e-4


@pytest.fixture
def step(monkeypatch):
    monkeypatch.setattr(promptable, "draw_schedule", case.schedule)
    monkeypatch.setattr(clicks, "first_click", case.deepest_click)
    return case.our_update()


def errors(ours, theirs) -> dict[str, float]:
    """Of every trained parameter with an effect, relative to the norm of each."""
    want, found = case.by_name(theirs), {}
    for where, leaf in case.by_name(ours).items():
        norm = np.linalg.norm(want[where])
        if norm == 0:  # nothing of the case reaches it
            assert not leaf.any(), where
        elif not case.is_without_effect(where):
            found[where] = float(np.linalg.norm(leaf - np.float64(want[where])) / norm)
    assert len(found) > 300
    return found


def largest(found: dict[str, float]) -> tuple[float, str]:
    return max((error, where) for where, error in found.items())


def test_loss_and_gradients(require_torch, step):
    model, batch = clip_loss.build(), case.clip_batch()
    ours = step(batch)

    def torch_side(batch, **control):
        value, found = clip_loss.loss_and_gradients(model, batch, **control)
        return value, import_params(found, get_config("debug"))

    want, want_grads = torch_side(batch)
    error, where = largest(errors(ours.gradients, want_grads))
    print(f"loss {ours.loss:.6f}, torch {want:.6f}; worst gradient {error:.1e} at {where}")
    assert ours.loss == pytest.approx(want, rel=LIMIT)
    assert error <= LIMIT, where
    # Controls: the comparison notices a gradient that is cut, a memory that is not read, and
    # frames that lie further apart.
    cut, cut_grads = torch_side(batch, stop_prompt_gradient=True)
    assert cut == pytest.approx(want, rel=1e-6)
    assert largest(errors(ours.gradients, cut_grads))[0] > 10 * LIMIT
    forgot, _ = torch_side(batch, forget_first=True)
    assert abs(forgot - want) > 10 * LIMIT * want
    apart, apart_grads = torch_side(case.clip_batch(spread=2))
    assert largest(errors(ours.gradients, apart_grads))[0] > 10 * LIMIT
    again = step(case.clip_batch(spread=2))
    assert again.loss == pytest.approx(apart, rel=LIMIT)
    assert largest(errors(again.gradients, apart_grads))[0] <= LIMIT


@pytest.fixture(scope="module")
def original(require_torch):
    """The original's model and loss, with the folder they are from."""
    checkout = importlib.import_module("tests.parity.official_training").folder()
    if checkout is None:
        pytest.skip("no checkout of sam2 1.1.0: `make parity-official` brings one")
    official_clip_loss = importlib.import_module("tests.parity.official_clip_loss")
    criterion = importlib.import_module("tests.parity.official_model").criterion(checkout)
    return official_clip_loss, checkout, official_clip_loss.build(checkout), criterion


def test_loss_gradients_and_step_of_the_original(original, step):
    module, checkout, model, criterion = original
    want, grads = module.loss_and_gradients(model, criterion, case.clip_batch())
    norms = {where: float(np.linalg.norm(leaf)) for where, leaf in case.by_name(grads).items()}
    moments = case.moments(norms)
    first, later = step(case.clip_batch()), step(case.clip_batch(), moments)
    error, where = largest(errors(later.gradients, grads))
    print(f"loss {later.loss:.6f}, original {want:.6f}; worst gradient {error:.1e} at {where}")
    assert later.loss == pytest.approx(want, rel=LIMIT)
    assert error <= LIMIT, where

    def change(moments):
        after, _ = recipes.split(module.updated(checkout, model, moments), case.RECIPE)
        return later._replace(after=after).change

    error, where = largest(errors(later.change, change(moments)))
    print(f"a step in mid-run: worst change {error:.1e} at {where}")
    assert error <= LIMIT, where
    share, error, where = clear_part(first, change(None))
    print(f"first step: worst change {error:.1e} at {where}, {100 * share:.1f} % of all compared")
    assert share > 0.7 and error <= LIMIT, where
    # Control: the comparison notices other moments.
    assert largest(errors(first.change, change(moments)))[0] > 0.1


def clear_part(ours, theirs) -> tuple[float, float, str]:
    """(share, worst error, its parameter) where a gradient stands out of its rounding.

    Adam's first step is the sign of the gradient, and that of a gradient of zero is anything.
    """
    theirs, grads = case.by_name(theirs), case.by_name(ours.gradients)
    worst, where, seen = 0.0, "", 0
    for name, change in case.by_name(ours.change).items():
        size = np.abs(grads[name])
        clear = size > 1e-2 * size.max()
        if case.is_without_effect(name) or not size.any():
            continue
        seen += clear.sum()
        error = np.linalg.norm((change - theirs[name])[clear]) / np.linalg.norm(theirs[name][clear])
        worst, where = max((worst, where), (float(error), name))
    return seen / sum(leaf.size for leaf in grads.values()), worst, where


@pytest.mark.parametrize("part", ["loss", "gradients", "changes"])
def test_stored_results_are_those_of_the_original(original, part):
    found = importlib.import_module("tests.golden.make_clip_loss").make(original[1])
    with np.load(case.FILE) as file:
        keys = [not case.is_without_effect(key) for key in json.loads(str(file["keys"]))]
        stored = file[part]
    ours = found[part]
    if part != "loss":
        stored, ours = stored[keys], ours[keys]
    if part == "loss":
        np.testing.assert_allclose(ours, stored, rtol=1e-4, atol=1e-7)
        return
    norm, product = stored.T
    np.testing.assert_allclose(ours[:, 0], norm, rtol=1e-4, atol=1e-7)
    # Terms of a product cancel, so what rounding moves is a share of the norm.
    assert (np.abs(ours[:, 1] - product) <= 1e-4 * norm + 1e-7).all()
