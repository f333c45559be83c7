"""One of two JAX processes, of which only the first writes and reads weights; run by a test.

python -m tests.checkpoints.process_alone PORT INDEX FOLDER
"""

import sys

import jax
from jax.experimental import multihost_utils

from surgjax import checkpoints
from surgjax.models import sam2, variants


def main(port: str, index: str, folder: str) -> None:
    jax.distributed.initialize(f"localhost:{port}", 2, int(index))
    if int(index) == 0:
        config = variants.get_config("debug")
        written = checkpoints.save_params(folder, sam2.init_params(config, 0), config)
        print("same" if checkpoints.load(folder).sha256 == written else "other", flush=True)
    multihost_utils.sync_global_devices("the end")


if __name__ == "__main__":
    main(*sys.argv[1:])
