"""Calls in processes of their own, as two launchers may define the same flag.

Each is a fork of one process that has imported what every tool imports, which costs seconds.
"""

import contextlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

_EVERY_TOOL = ["absl.flags", "flax.linen", "optax", "orbax.checkpoint"]


@contextlib.contextmanager
def processes():
    """A pool of one process, and for each call another."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_EVERY_TOOL)
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        yield pool
