"""Writes the golden of the whole clip loss: `python -m tests.golden.make_clip_loss` (needs torch).

Path:    tests.parity.clip_loss -> [make_clip_loss] -> clip_loss_debug.npz -> test_clip_loss
Axes:    per parameter of ours two numbers, see clip_loss_case.summary.
Source:  transformers 5.23 with the weights of sam2_debug.npz.
Differs: gradients themselves would take a megabyte; a product with a drawn direction notices what
         leaves a norm as it is.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import torch
import transformers

from surgjax.checkpoints import import_params
from surgjax.models.variants import get_config
from tests.golden import clip_loss_case as case
from tests.parity import clip_loss

FILE = Path(__file__).with_name("clip_loss_debug.npz")


def main() -> None:
    loss, grads = clip_loss.loss_and_gradients(clip_loss.build(), case.clip_batch())
    found = case.summary(loss, import_params(grads, get_config("debug")))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    made_by = dict(
        commit=commit.stdout.strip(), torch=torch.__version__, numpy=np.__version__,
        transformers=transformers.__version__,
    )  # fmt: skip
    keys = sorted(found.keys() - {"loss"})
    pairs = np.stack([found[key] for key in keys])
    np.savez_compressed(
        FILE, made_by=json.dumps(made_by), loss=loss, keys=json.dumps(keys), grads=pairs
    )
    print(
        f"{FILE.name}: loss {loss:.6f}, {len(keys)} gradients, {FILE.stat().st_size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
