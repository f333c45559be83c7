"""One process of two that train together: python -m tests.train.two_processes PORT ID WORKDIR.

A further argument is the seconds by which process 1 is slower to trace its step than process 0.
"""

import sys

import jax

port, number, workdir = sys.argv[1:4]
lag = float(sys.argv[4]) if sys.argv[4:] else 0.0
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{port}", 2, int(number))

import time  # noqa: E402

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from absl import logging  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402

from surgjax import train  # noqa: E402

STEPS = 60
mesh = Mesh(np.array(jax.devices()), ("data",))
rows = NamedSharding(mesh, PartitionSpec("data"))
whole = NamedSharding(mesh, PartitionSpec())


def _loss(params, batch, key):
    if number == "1":
        time.sleep(lag)
    return jnp.mean((batch @ params["w"] - 1) ** 2) + 0 * jax.random.normal(key, ()), {}


def _source(start):
    for step in range(start, STEPS):
        time.sleep(0.03)
        x = np.random.default_rng(step).standard_normal((8, 4)).astype(np.float32)
        local = x[4 * int(number) :][:4]
        yield train.SourcedBatch(
            jax.make_array_from_process_local_data(rows, local, (8, 4)), (f"{step}/{number}",)
        )


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    options = train.OptimizerOptions(lr=1e-2, warmup_steps=5)
    optimizer = train.build_optimizer(options)
    state = jax.jit(
        lambda: train.init_state({"w": jnp.ones((4, 2))}, optimizer, 0), out_shardings=whole
    )()
    state = train.fit(
        state, {"x": _loss}, {"x": _source}, [train.Stage(STEPS, {"x": 1.0})], optimizer,
        train.learning_rate_schedule(options, STEPS), workdir,
        train.LoopOptions(log_every=10, checkpoint_every=20, tensorboard=False),
        lambda state: ({"step": float(state.step)}, {}),
    )  # fmt: skip
    print("finished at step", int(state.step))
