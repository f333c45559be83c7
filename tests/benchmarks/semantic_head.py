"""Whether a semantic token tells the objects of one picture apart, beside the frozen `nano`.

  python -m tests.benchmarks.semantic_head

Token and head alone are trained, on coloured blocks given by boxes; every step draws new pictures.
Prints loss and accuracy of the nearest text (of three orthogonal ones) by ten steps.
"""

import argparse

import jax
import numpy as np
import optax

from surgjax import checkpoints
from surgjax.models import sam2
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.training_clips import SceneBatch

SIDE, PICTURES, STEPS = 128, 4, 150
COLOURS = ((230, 40, 30), (30, 220, 60), (40, 60, 240))
OPTIONS = PromptOptions(loss_size=16, semantic_weight=1.0, box_probability=1.0)


def pictures(seed: int) -> SceneBatch:
    """Three blocks below one another; which colour is where, and how far right, is drawn."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile([0, 1, 2], (PICTURES, 1)), axis=1).astype(np.int32)
    frames = rng.integers(90, 110, (PICTURES, 1, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((PICTURES, 1, 3, SIDE, SIDE), bool)
    for row in range(PICTURES):
        for slot in range(3):
            y, x = 4 + 40 * slot, int(rng.integers(4, 70))
            masks[row, 0, slot, y : y + 32, x : x + 48] = True
            frames[row, 0, y : y + 32, x : x + 48] = COLOURS[order[row, slot]]
    valid, index = np.ones((PICTURES, 3), bool), np.zeros((PICTURES, 1), np.int32)
    return SceneBatch(frames, masks, valid, index, object_class=order)


def main() -> None:
    """Trains and prints."""
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    loaded = checkpoints.load("nano")
    config = loaded.config.replace(image_size=SIDE)
    params, config = sam2.add_semantic_token(loaded.params, config)
    model, optimizer = sam2.Sam2(config), optax.adam(3e-3)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((512, 3)))[0]
    text, semantic = basis.T.astype(np.float32), params["semantic"]
    frozen = {name: leaf for name, leaf in params.items() if name != "semantic"}

    def loss(semantic, frozen, batch, key):
        whole = {**frozen, "semantic": semantic}
        _, metrics = promptable.image_loss(model, whole, batch, key, OPTIONS, text)
        return metrics["tsl"], metrics["tsl_accuracy"]

    @jax.jit
    def update(semantic, state, frozen, batch, key):
        found, grads = jax.value_and_grad(loss, has_aux=True)(semantic, frozen, batch, key)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(semantic, updates), state, *found

    state, accuracies = optimizer.init(semantic), []
    for step in range(STEPS):
        args = (frozen, pictures(step), jax.random.key(step))
        semantic, state, value, accuracy = update(semantic, state, *args)
        accuracies.append(float(accuracy))
        if step % 10 == 9:
            mean = np.mean(accuracies[-10:])
            print(f"steps {step - 8:3d} to {step + 1:3d}: loss {float(value):.3f} at the last, "
                  f"accuracy {mean:.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
