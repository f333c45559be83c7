r"""Clips per second of the input pipeline beside a plain PyTorch DataLoader doing the same work.

  python -m tests.benchmarks.input_pipeline

Both sides read the same encoded bytes, decode with OpenCV, draw and augment with the same functions,
use the same number of reading threads (here) or worker processes (torch) and hold as many batches
ahead. Rounds alternate. What differs is how work is handed out and batches are put together.
"""

import argparse
import os
import tempfile
import time

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


def measure_ours(folder: str, options, seed: int) -> tuple[float, float]:
    """Seconds to the first batch (sets already on disk, modules imported) and clips per second."""
    begin = time.perf_counter()
    entries = _entries(folder, options.frames, options.objects)
    batches = clips.open_clips(
        entries,
        batch_size=options.batch,
        size=options.size,
        seed=seed,
        threads=options.workers,
        prefetch=2 * options.workers,
        process_index=0,
        process_count=1,
    )
    with batches:
        return _timed(batches, begin, options)


def _timed(batches, begin: float, options) -> tuple[float, float]:
    next(batches)
    first = time.perf_counter() - begin
    for _ in range(_WARM_UP - 1):
        next(batches)
    start = time.perf_counter()
    for _ in range(options.batches):
        next(batches)
    return first, options.batches * options.batch / (time.perf_counter() - start)


def measure_torch(folder: str, options, seed: int) -> tuple[float, float]:
    """The same from a map-style Dataset, default collation and worker processes."""
    import torch.utils.data

    class Dataset(torch.utils.data.Dataset):
        def __init__(self):
            entries = _entries(folder, options.frames, options.objects)
            self.loader = clips.ClipLoader(
                Mixture(entries, seed), options.size, clips.AugmentConfig(), prepared.CATEGORIES
            )

        def __len__(self):
            return options.batch * (options.batches + _WARM_UP + 2 * options.workers)

        def __getitem__(self, number):
            return self.loader.example(number).arrays

    begin = time.perf_counter()
    loader = torch.utils.data.DataLoader(
        Dataset(),
        batch_size=options.batch,
        num_workers=options.workers,
        prefetch_factor=2,
        worker_init_fn=lambda _: cv2.setNumThreads(1),
    )
    batches = iter(loader)
    try:
        return _timed(batches, begin, options)
    finally:
        batches._shutdown_workers()


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name, value, what in (
        ("rounds", 7, "interleaved rounds"),
        ("batches", 12, "timed batches of a round"),
        ("batch", 4, "clips of a batch"),
        ("frames", 8, "frames of a clip"),
        ("objects", 3, "objects of a clip"),
        ("size", 512, "side of the frames that come out"),
        ("workers", 2, "threads here, processes of torch"),
        ("height", 512, "of the stored frames"),
        ("width", 640, "of the stored frames"),
        ("videos", 12, "videos generated"),
        ("length", 24, "frames of a video"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=what)
    options = parser.parse_args(args)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as data_dir:
        print(f"writing {options.videos} videos of {options.length} frames", flush=True)
        folder = write_videos(
            data_dir, options.videos, options.length, options.height, options.width
        )
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        print(f"{size / options.videos / options.length / 1000:.0f} kB per frame", flush=True)
        for measure in (measure_ours, measure_torch):  # imports, files into memory
            measure(folder, argparse.Namespace(**(vars(options) | {"batches": 1})), 0)
        rows = []
        for seed in range(options.rounds):
            order = (measure_ours, measure_torch) if seed % 2 else (measure_torch, measure_ours)
            found = {measure: measure(folder, options, seed) for measure in order}
            (first, ours), (torch_first, theirs) = found[measure_ours], found[measure_torch]
            rows.append((ours / theirs, ours, theirs, first, torch_first))
            print(
                f"round {seed}: surgjax {ours:.2f} clips/s ({ours * options.frames:.0f} frames/s), "
                f"torch {theirs:.2f}, ratio {ours / theirs:.2f}; first batch "
                f"{first:.2f} s, torch {torch_first:.2f} s",
                flush=True,
            )
    table = np.array(rows)
    ratio, ours, theirs, first, torch_first = np.median(table, 0)
    print(
        f"median ratio {ratio:.3f}, lower quartile {np.quantile(table[:, 0], 0.25):.3f}; "
        f"surgjax {ours:.2f} clips/s ({ours * options.frames:.0f} frames/s), torch {theirs:.2f}; "
        f"first batch {first:.2f} s, torch {torch_first:.2f} s"
    )


if __name__ == "__main__":
    main()
