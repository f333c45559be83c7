"""A process that takes batches and logs their digests; killed and started again by its test.

  python -m tests.data.iterate LOG STEPS FOLDER [FOLDER ...]

The log stands for a train state: the number of its whole lines is the step to go on at.
"""

import hashlib
import os
import sys
import time

import jax
import numpy as np

from surgjax.data import clips
from surgjax.data.mixture import MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler


def open_at(step: int, folders: list[str]) -> clips.Clips:
    sampler = ClipSampler(kind="hybrid", frames=5, objects=2, p_reverse=0.25)
    entries = [MixtureEntry(PreparedSet(folder), "train", sampler) for folder in folders]
    return clips.open_clips(entries, batch_size=3, size=32, seed=11, start_step=step)


def line_of(batch: clips.LoadedBatch) -> str:
    digest = hashlib.sha256(repr(batch.sources).encode())
    for array in jax.tree.leaves(batch.clips):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{batch.step} {digest.hexdigest()}"


def main(log: str, steps: str, *folders: str) -> None:
    done = 0
    if os.path.exists(log):
        with open(log, "rb+") as file:
            whole = file.read().rpartition(b"\n")
            file.truncate(len(whole[0]) + len(whole[1]))  # a line cut by the kill never happened
            done = whole[0].count(b"\n") + bool(whole[1])
    with open(log, "a") as file, open_at(done, list(folders)) as batches:
        for _ in range(done, int(steps)):
            file.write(line_of(next(batches)) + "\n")
            file.flush()
            time.sleep(0.004)  # so that there is something to kill


if __name__ == "__main__":
    main(*sys.argv[1:])
