"""One process that starts as its environment says, and agrees with the others; a test's child.

python -m tests.train.process_start FILE [COORDINATOR COUNT INDEX]

What it found goes to FILE: the communication library prints into lines on stdout.
"""

import json
import sys
from pathlib import Path

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
    file, *start = arguments
    explicit = (start[0], int(start[1]), int(start[2])) if start else ()
    said = {}
    found = distributed.initialize(*explicit, timeout_s=60)
    assert distributed.initialize(*explicit) == found  # a second call only looks
    last = found.index == found.count - 1
    said["same"] = _error(lambda: distributed.check_same("config", "a"))
    said["differs"] = _error(lambda: distributed.check_same("config", "b" if last else "a"))
    mesh = sharding.make_mesh(sharding.ShardingOptions(1, -1))
    said["rows"] = _error(lambda: sharding.batch_sharding(mesh, 3))
    whole = np.arange(8 * 2).reshape(8, 2)
    place = sharding.batch_sharding(mesh, 8)
    half = 8 // found.count
    own = sharding.place_batch(whole[found.index * half :][:half], place)
    given = sharding.place_batch(whole, place, is_whole=True)
    gather = jax.jit(lambda x: x, out_shardings=sharding.replicated(mesh))
    said["placed"] = [np.array_equal(gather(x), whole) for x in (own, given)]
    said["short"] = _error(lambda: sharding.place_batch(whole[: half + 1], place))
    Path(file).write_text(json.dumps(said))
    multihost_utils.sync_global_devices("end")


if __name__ == "__main__":
    main(sys.argv[1:])
