r"""Clips per second of the input pipeline beside a plain PyTorch DataLoader doing the same work.

  python -m tests.benchmarks.input_pipeline

Both sides read the same encoded bytes, decode with OpenCV, draw and augment by the same functions,
use the same number of reading threads (here) or worker processes (torch) and hold as many batches
ahead. Rounds alternate. What differs is how work is handed out and batches are put together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import cv2
import numpy as np

from surgjax.data import clips
from surgjax.data.mixture import Mixture, MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from surgjax.synthetic import generate_clip
from tests.data import prepared

_WARM_UP = 2  # batches, before the clock starts


def write_videos(data_dir: str, videos: int, frames: int, height: int, width: int) -> str:
    """Generated videos as JPEG frames with PNG maps."""
    made = []
    for seed in range(videos):
        clip = generate_clip(seed, frames, 256)
        images = [
            cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in clip.frames_u8
        ]
        labels = [
            cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST) for m in clip.label_maps
        ]
        made.append(prepared.Video(f"v{seed:03d}", np.stack(images), np.stack(labels)))
    return prepared.write_set(data_dir, "bench", {"train": made}, image_format="jpeg")


def _entries(folder: str, frames: int, objects: int) -> list[MixtureEntry]:
    return [MixtureEntry(PreparedSet(folder), "train", ClipSampler(frames=frames, objects=objects))]


class Measured(NamedTuple):
    """One run. Modules are imported before it begins; the files are in the page cache."""

    first: float  # seconds to the first batch
    seconds: float  # of the timed batches


def _timed(open_batches, options) -> Measured:
    begin = time.perf_counter()
    batches, close = open_batches()
    next(batches)
    first = time.perf_counter() - begin
    for _ in range(_WARM_UP - 1):
        next(batches)
    start = time.perf_counter()
    for _ in range(options.batches):
        next(batches)
    seconds = time.perf_counter() - start
    close()
    return Measured(first, seconds)


def measure_ours(folder: str, options, seed: int) -> Measured:
    def open_batches():
        batches = clips.open_clips(
            _entries(folder, options.frames, options.objects),
            batch_size=options.batch,
            size=options.size,
            seed=seed,
            threads=options.workers,
            prefetch=2 * options.workers,
            process_index=0,
            process_count=1,
        )
        return batches, batches.close

    return _timed(open_batches, options)


def measure_torch(folder: str, options, seed: int) -> Measured:
    """The same from a map-style Dataset, default collation and worker processes."""
    import torch.utils.data

    class Dataset(torch.utils.data.Dataset):
        def __init__(self):
            entries = _entries(folder, options.frames, options.objects)
            self.loader = clips.ClipLoader(
                Mixture(entries, seed), options.size, clips.AugmentConfig(), prepared.CATEGORIES
            )

        def __len__(self):
            return options.batch << 20

        def __getitem__(self, number):
            return self.loader.example(number).arrays

    def open_batches():
        loader = torch.utils.data.DataLoader(
            Dataset(),
            batch_size=options.batch,
            num_workers=options.workers,
            prefetch_factor=2,
            worker_init_fn=lambda _: cv2.setNumThreads(1),
        )
        batches = iter(loader)
        return batches, batches._shutdown_workers

    return _timed(open_batches, options)


_SIDES = {"surgjax": measure_ours, "torch": measure_torch}


def _in_a_process(side: str, folder: str, options, seed: int) -> Measured:
    """A fresh process per run: workers forked where reading threads have run crash."""
    sizes = [f"--{name}={getattr(options, name)}" for name, _, _ in _OPTIONS]
    command = [sys.executable, "-m", "tests.benchmarks.input_pipeline", *sizes]
    command += ["--side", side, "--folder", folder, "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def _round(folder: str, options, seed: int) -> tuple[list[Measured], list[Measured]]:
    """Ours, torch, torch, ours (or the other way round), so that a drift of the load cancels."""
    order = ["surgjax", "torch"] if seed % 2 else ["torch", "surgjax"]
    found: dict[str, list[Measured]] = {side: [] for side in order}
    for side in order + order[::-1]:
        found[side].append(_in_a_process(side, folder, options, seed))
    return found["surgjax"], found["torch"]


_OPTIONS = (
    ("rounds", 7, "interleaved rounds of two runs each"),
    ("batches", 8, "timed batches of a run"),
    ("batch", 4, "clips of a batch"),
    ("frames", 8, "frames of a clip"),
    ("objects", 3, "objects of a clip"),
    ("size", 512, "side of the frames that come out"),
    ("workers", 2, "threads here, processes of torch"),
    ("height", 512, "of the stored frames"),
    ("width", 640, "of the stored frames"),
    ("videos", 12, "videos generated"),
    ("length", 24, "frames of a video"),
)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name, value, what in _OPTIONS:
        parser.add_argument(f"--{name}", type=int, default=value, help=what)
    parser.add_argument("--side", choices=_SIDES, help="one run of one side, as JSON")
    parser.add_argument("--folder", help="prepared set of that run")
    parser.add_argument("--seed", type=int, default=0, help="of that run")
    options = parser.parse_args(args)
    cv2.setNumThreads(1)
    if options.side:
        # Both sides import the same, before the clock starts; torch's workers inherit it.
        import grain  # noqa: F401
        import tensorflow_datasets  # noqa: F401
        import torch.utils.data  # noqa: F401
        from array_record.python import array_record_module  # noqa: F401

        print(json.dumps(_SIDES[options.side](options.folder, options, options.seed)))
        return
    with tempfile.TemporaryDirectory() as data_dir:
        print(f"writing {options.videos} videos of {options.length} frames", flush=True)
        folder = write_videos(
            data_dir, options.videos, options.length, options.height, options.width
        )
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        print(f"{size / options.videos / options.length / 1000:.0f} kB per frame", flush=True)
        rows = []
        for seed in range(options.rounds):
            rows.append(_report(seed, *_round(folder, options, seed), options))
    _summary(np.array(rows), options)


def _report(seed: int, ours: list[Measured], theirs: list[Measured], options) -> list[float]:
    """Prints one round; clips/s and seconds to the first batch, here and there."""
    row = []
    made = len(ours) * options.batch * options.batches
    for runs in (ours, theirs):
        rate = made / sum(run.seconds for run in runs)
        first = sum(run.first for run in runs) / len(runs)
        row += [rate, first]
    ratio = row[0] / row[2]
    print(
        f"round {seed}: surgjax {row[0]:.2f} clips/s, torch {row[2]:.2f}, ratio {ratio:.2f}; "
        f"first batch {row[1]:.2f} s, torch {row[3]:.2f} s",
        flush=True,
    )
    return [ratio, *row]


def _summary(table: np.ndarray, options) -> None:
    ratio, rate, first, torch_rate, torch_first = np.median(table, 0)
    print(
        f"median ratio {ratio:.3f}, lower quartile {np.quantile(table[:, 0], 0.25):.3f}; "
        f"surgjax {rate:.2f} clips/s ({rate * options.frames:.0f} frames/s), torch "
        f"{torch_rate:.2f} clips/s; first batch {first:.2f} s, torch {torch_first:.2f} s"
    )


if __name__ == "__main__":
    main()
