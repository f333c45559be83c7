"""Writes the golden of the whole clip loss: `python -m tests.golden.make_clip_loss`.

Path:    tests.parity.official_clip_loss -> [make_clip_loss] -> clip_loss_debug.npz
         -> test_clip_loss
Axes:    per parameter of ours two numbers, see clip_loss_case.summary.
Errors:  FileNotFoundError without torch's side: a checkout, see tests.parity.official_training.
Source:  sam2 1.1.0 (its training model, losses and optimizer) with the weights of sam2_debug.npz.
Differs: gradients themselves would take a megabyte; a product with a drawn direction notices what
         leaves a norm as it is.
"""

import json
from pathlib import Path

import numpy as np
import torch

from surgjax.train import recipes
from tests.golden import clip_loss_case as case
from tests.parity import official_clip_loss, official_model, official_training

FILE = case.FILE


def make(checkout: Path) -> dict[str, np.ndarray]:
    """The loss; norm and product of every gradient, and of the change by a step in mid-run."""
    model, criterion = official_clip_loss.build(checkout), official_model.criterion(checkout)
    loss, grads = official_clip_loss.loss_and_gradients(model, criterion, case.clip_batch())
    grads, _ = recipes.split(grads, case.RECIPE)
    found = case.summary(grads)
    moments = case.moments({key: norm for key, (norm, _) in found.items()})
    before, _ = recipes.split(case.params(), case.RECIPE)
    after, _ = recipes.split(official_clip_loss.updated(checkout, model, moments), case.RECIPE)
    change = case.summary(case.Update(loss, grads, before, after).change)
    keys = sorted(found)
    return dict(
        loss=np.float64(loss),
        keys=np.array(json.dumps(keys)),
        gradients=np.stack([found[key] for key in keys]),
        changes=np.stack([change[key] for key in keys]),
    )


def main() -> None:
    checkout = official_training.folder()
    if checkout is None:
        raise FileNotFoundError(
            "no checkout of sam2 1.1.0: run `make parity-official`, or set SURGJAX_OFFICIAL_SAM2."
        )
    found = make(checkout)
    made_by = json.dumps(dict(torch=torch.__version__, numpy=np.__version__))
    np.savez_compressed(FILE, made_by=made_by, **found)
    print(
        f"{FILE.name}: loss {found['loss']:.6f}, {len(found['gradients'])} parameters, "
        f"{FILE.stat().st_size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
