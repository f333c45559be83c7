"""One process that starts as its environment says, and agrees with the others; a test's child.

python -m tests.train.process_start [COORDINATOR COUNT INDEX]
"""

import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

from surgjax.train import distributed, sharding


def _error(call) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"


def main(arguments: list[str]) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    explicit = (arguments[0], int(arguments[1]), int(arguments[2])) if arguments else ()
    found = distributed.initialize(*explicit, timeout_s=60)
    assert distributed.initialize(*explicit) == found  # a second call only looks
    last = found.index == found.count - 1
    print("same", _error(lambda: distributed.check_same("config", "a")))
    print("differs", _error(lambda: distributed.check_same("config", "b" if last else "a")))
    mesh = sharding.make_mesh(sharding.ShardingOptions(1, -1))
    print("rows", _error(lambda: sharding.batch_sharding(mesh, 3)))
    whole = np.arange(8 * 2).reshape(8, 2)
    place = sharding.batch_sharding(mesh, 8)
    half = 8 // found.count
    own = sharding.place_batch(whole[found.index * half :][:half], place)
    given = sharding.place_batch(whole, place, is_whole=True)
    gather = jax.jit(lambda x: x, out_shardings=sharding.replicated(mesh))
    print("placed", *(np.array_equal(gather(x), whole) for x in (own, given)))
    print("short", _error(lambda: sharding.place_batch(whole[: half + 1], place)))
    multihost_utils.sync_global_devices("end")


if __name__ == "__main__":
    main(sys.argv[1:])
