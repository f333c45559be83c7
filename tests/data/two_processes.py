"""One of several JAX processes that take their share of global batches; run by `test_processes`.

  python -m tests.data.two_processes PORT COUNT INDEX STEPS FOLDER RESULTS

Writes a digest of every global batch, as all processes see it, into the file RESULTS: Gloo prints
into lines on stdout.
"""

import hashlib
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from surgjax.data import clips
from surgjax.data.mixture import MixtureEntry
from surgjax.data.prefetch import DevicePrefetch, put_clips
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler


def main(port: str, count: str, index: str, steps: str, folder: str, results: str) -> None:
    if int(count) > 1:
        jax.distributed.initialize(f"localhost:{port}", int(count), int(index))
    mesh = Mesh(np.array(jax.devices()), ("data",))
    sampler = ClipSampler(frames=4, objects=2, p_reverse=0.25)
    batches = clips.open_clips(
        [MixtureEntry(PreparedSet(folder), "train", sampler)], batch_size=4, size=32, seed=3
    )
    lines = []
    with DevicePrefetch(batches, put_clips(NamedSharding(mesh, PartitionSpec("data")))) as ready:
        for _ in range(int(steps)):
            batch = next(ready)
            assert batch.clips.frames_u8.shape[0] == 4  # global
            assert len(batch.sources) == 4 // int(count)
            digest = hashlib.sha256()
            for array in jax.tree.leaves(batch.clips):
                whole = multihost_utils.process_allgather(array, tiled=True)
                digest.update(np.ascontiguousarray(whole).tobytes())
            lines.append(f"{batch.step} {digest.hexdigest()}")
    Path(results).write_text("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
