"""The flags by which a launcher becomes one of several processes; import it, call `start` first.

SLURM, Open MPI 4 and TPU pods need none of them.
"""

from absl import flags

from surgjax.train import distributed

_ADDRESS = flags.DEFINE_string("coordinator_address", None, "HOST:PORT where process 0 is found.")
_COUNT = flags.DEFINE_integer("num_processes", None, "Of the run; 1 ignores the scheduler.")
_INDEX = flags.DEFINE_integer("process_id", None, "Of this process, from 0.")
_TIMEOUT = flags.DEFINE_float(
    "start_timeout_s", 300, "How long to wait for the other processes.", lower_bound=1
)


def start() -> distributed.Processes:
    """Joins the other processes, before JAX touches a device; prints what is there."""
    return distributed.initialize(_ADDRESS.value, _COUNT.value, _INDEX.value, _TIMEOUT.value)
