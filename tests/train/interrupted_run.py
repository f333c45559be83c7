"""A small run in a process of its own, to be interrupted: python -m tests.train.interrupted_run.

Two kinds of batch with random numbers in them, a loss that uses its key for
dropout, and a pause per step so that signals hit different places.
"""

import argparse
import itertools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from surgjax import train


def _loss(params, batch, key):
    x, y = batch
    hidden = jnp.tanh(x @ params["first"]) * jax.random.bernoulli(key, 0.8, (x.shape[0], 32))
    return jnp.mean((hidden @ params["second"] - y) ** 2), {"spread": hidden.std()}


def _source(width, start, pause):
    for number in itertools.count(start):
        rng = np.random.default_rng((width, number))
        x = rng.standard_normal((width, 16)).astype(np.float32)
        time.sleep(pause)
        yield train.SourcedBatch((x, x[:, :1] ** 2), (f"{width}/{number}",))


def _evaluate(state):
    score = -sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(state.ema_params))
    return {"score": score}, {"picture": np.zeros((4, 4, 3), np.uint8)}


def run(workdir, steps, pause):
    """The whole run; about 2.2 MB per checkpoint, so that a kill may hit the writing."""
    rng = np.random.default_rng(0)
    params = {
        "first": rng.standard_normal((16, 32)).astype(np.float32) / 4,
        "second": rng.standard_normal((32, 1)).astype(np.float32) / 6,
        "unused": rng.standard_normal((300, 300)).astype(np.float32),
    }
    options = train.OptimizerOptions(lr=1e-2, warmup_steps=5)
    optimizer = train.build_optimizer(options)
    return train.fit(
        train.init_state(jax.tree.map(jnp.asarray, params), optimizer, 3),
        {"small": _loss, "large": _loss},
        {
            "small": lambda start: _source(8, start, pause),
            "large": lambda start: _source(24, start, pause),
        },
        [
            train.Stage(steps // 3, {"small": 1.0}),
            train.Stage(steps - steps // 3, {"small": 0.5, "large": 0.5}),
        ],
        optimizer,
        train.learning_rate_schedule(options, steps),
        workdir,
        train.LoopOptions(
            log_every=5, checkpoint_every=7, eval_every=20, best_metric="score", tensorboard=False
        ),
        _evaluate,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.01)
    arguments = parser.parse_args()
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    state = run(arguments.workdir, arguments.steps, arguments.pause)
    print("finished at step", int(state.step))
    sys.exit(0)
