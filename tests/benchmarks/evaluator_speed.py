r"""J and F of davis2017-evaluation and of ours on the same 480p folders.

  python -m tests.benchmarks.evaluator_speed --davis=CHECKOUT

Path:    generated folders -> [evaluator_speed] -> a table on the terminal
Axes:    480 x 854 pixels, 3 objects.
Units:   CPU milliseconds for one object on one frame; one thread.
Errors:  ImportError without scikit-image, which the reference needs.
Source:  davis2017-evaluation, run from a checkout.
Differs: PNG decoding is timed apart: both read the same files with Pillow. The reference holds a
         sequence as float64, and reads it before it scores; its scoring alone is timed here.
"""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from surgjax.evaluation.mask_folders import find_sequences, pair_sequences, read_pairs
from surgjax.metrics import object_scores
from tests.golden.make_evaluators import write_folders

FRAMES, OBJECTS, SHAPE = 6, 3, (480, 854)


def _label_maps(scale, shift):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    maps = np.zeros((FRAMES, *SHAPE), np.uint8)
    for label in range(1, OBJECTS + 1):
        start, speed = rng.uniform(0.2, 0.8, 2) * SHAPE, rng.normal(0, 4, 2)
        for t in range(FRAMES):
            dy, dx = (np.array([y, x]) - (start + speed * t + shift)[:, None, None]) / scale
            wave = 1 + 0.2 * np.sin(5 * np.arctan2(dy, dx))
            maps[t][dx**2 + (2 * dy) ** 2 < wave] = label
    return maps


def _fastest(function, rounds=3):
    """The result, and CPU milliseconds for an object and frame."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, min(times) / (FRAMES * OBJECTS) * 1e3


def _measure(metrics, scale):
    with tempfile.TemporaryDirectory() as root:
        sequence = {"a": (_label_maps(scale, 5), _label_maps(scale, 0))}
        write_folders(root, sequence)
        folders = [find_sequences(Path(root) / s, f"--{s}") for s in ("pred", "gt")]
        pairs = pair_sequences(*folders)[0]
        files, reading = _fastest(lambda: list(read_pairs(pairs[0])))

    def ours():
        return [object_scores.score_label_map(p.label_map, g.label_map) for p, g in files]

    found, target = (np.stack([f[k].label_map for f in files]) for k in (0, 1))

    def theirs():
        scores = []
        for i in range(1, OBJECTS + 1):
            mask, truth = (found == i).astype(float), (target == i).astype(float)
            j = metrics.db_eval_iou(truth, mask)
            scores.append((j, metrics.db_eval_boundary(truth, mask)))
        return scores

    rows, our_time = _fastest(ours)
    scores, their_time = _fastest(theirs)
    for i, both in enumerate(scores, 1):
        for k, values in enumerate(both):
            assert np.allclose([row[i][k] for row in rows], values, rtol=0, atol=1e-9)
    area = (target > 0).mean() / OBJECTS
    print(f"{area:10.3f}  {reading:8.2f}  {their_time:9.2f}  {our_time:6.2f}  "
          f"{their_time / our_time:5.1f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--davis", required=True, help="checkout of davis2017-evaluation")
    sys.path.insert(0, parser.parse_args().davis)
    metrics = importlib.import_module("davis2017.metrics")
    cv2.setNumThreads(1)
    print("CPU milliseconds for an object and frame, 480p, one thread")
    print("area share   reading  reference    ours  ratio")
    for scale in (40, 100, 200):
        _measure(metrics, scale)


if __name__ == "__main__":
    main()
