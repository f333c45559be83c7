"""The whole clip loss and all its gradients against torch, at debug size."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from surgjax.checkpoints import import_params  # noqa: E402
from surgjax.models.variants import get_config  # noqa: E402
from surgjax.prompts import clicks  # noqa: E402
from surgjax.train.steps import promptable  # noqa: E402
from tests.golden import clip_loss_case as case  # noqa: E402
from tests.parity import clip_loss  # noqa: E402

pytestmark = pytest.mark.parity
LIMIT = 1e-4


def largest_error(ours, theirs) -> tuple[float, str]:
    """Of all gradients, relative to the norm of each; the floor is a millionth of the whole's."""
    theirs = dict(jax.tree_util.tree_flatten_with_path(theirs)[0])
    whole = np.sqrt(sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in theirs.values()))
    worst = (0.0, "")
    for path, leaf in jax.tree_util.tree_flatten_with_path(ours)[0]:
        want = np.asarray(theirs[path], np.float64)
        error = np.linalg.norm(np.asarray(leaf) - want) / (np.linalg.norm(want) + 1e-6 * whole)
        worst = max(worst, (float(error), jax.tree_util.keystr(path)))
    return worst


def test_loss_and_gradients(require_torch, monkeypatch):
    monkeypatch.setattr(promptable, "draw_schedule", case.schedule)
    monkeypatch.setattr(clicks, "first_click", case.deepest_click)
    model, batch = clip_loss.build(), case.clip_batch()
    step = case.our_step()
    loss, grads = step(batch)

    def torch_side(batch, **control):
        value, found = clip_loss.loss_and_gradients(model, batch, **control)
        return value, import_params(found, get_config("debug"))

    want, want_grads = torch_side(batch)
    error, where = largest_error(grads, want_grads)
    print(f"loss {float(loss):.6f}, torch {want:.6f}; worst gradient {error:.1e} at {where}")
    assert float(loss) == pytest.approx(want, rel=LIMIT)
    assert error <= LIMIT, where
    still = [k for k, leaf in jax.tree_util.tree_flatten_with_path(grads)[0] if not leaf.any()]
    print("without gradient:", [jax.tree_util.keystr(k) for k in still])
    # Controls: the comparison notices a gradient that is cut, a memory that is not read, and
    # frames that lie further apart.
    cut, cut_grads = torch_side(batch, stop_prompt_gradient=True)
    assert cut == pytest.approx(want, rel=1e-6)
    assert largest_error(grads, cut_grads)[0] > 10 * LIMIT
    forgot, _ = torch_side(batch, forget_first=True)
    assert abs(forgot - want) > 10 * LIMIT * want
    apart, apart_grads = torch_side(case.clip_batch(spread=2))
    assert largest_error(grads, apart_grads)[0] > 10 * LIMIT
    again, again_grads = step(case.clip_batch(spread=2))
    assert float(again) == pytest.approx(apart, rel=LIMIT)
    assert largest_error(again_grads, apart_grads)[0] <= LIMIT
