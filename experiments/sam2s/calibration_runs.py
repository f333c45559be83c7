"""How sure masks are beside how sure they should be, for pairs of training runs.

Path:    weights, prepared set -> [calibration_runs] -> differences, a table
Axes:    masks and probabilities [H, W]; sums one entry a video.
Units:   probabilities 0..1, BAND_PX pixels of the prepared frames.
Errors:  ValueError for a split without an object.
Source:  ECE as `surgjax.metrics.calibration`; the Brier score, 1950; raters are ours.
Differs: pixels far from a contour, which every run gets right, do not count.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from experiments.promptable_sam2 import scoring
from experiments.promptable_sam2.set_evaluation import spread
from surgjax.data import index as set_index
from surgjax.data.reader import PreparedSet
from surgjax.evaluation.prompting import tight_box
from surgjax.inference import ImagePredictor
from surgjax.inference.progress import Progress
from surgjax.metrics import calibration, davis2017
from surgjax.synthetic.annotators import RATERS, annotate

BAND_PX = 8  # to either side of the true contour: where people disagree
DRAWS = 2000
MEASURES = ("ece", "ece_true", "brier", "brier_true", "J&F")  # the first four: lower is better


class VideoSums(NamedTuple):
    """What one set of weights did on the frames of one video; bins are calibration's."""

    bins: np.ndarray  # [2, 3, bins]: against raters, the truth; entries, right, sum of confidence
    brier: np.ndarray  # [2] sums over pixels
    pixels: np.ndarray  # [2]
    scores: np.ndarray  # [2]: sum of J&F, objects


def band_of(target: np.ndarray) -> np.ndarray:
    """[H, W] bool: at most BAND_PX from the contour of a mask, on either side."""
    inner = cv2.distanceTransform(target.astype(np.uint8), cv2.DIST_L2, 5)
    outer = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5)
    return np.where(target, inner, outer) <= BAND_PX


def count(probs: np.ndarray, targets: Sequence[np.ndarray]) -> tuple[np.ndarray, float, int]:
    """Bins [3, bins], sum of squared errors and number of pixels [n] judged by each target."""
    state, brier = calibration.init_state(), 0.0
    for target in targets:
        state = calibration.update_masks(state, probs, target)
        brier += float(np.square(probs - target).sum())
    confidence = np.array(state.confidence, float) / 2.0**32
    bins = np.stack([np.array(state.entries, float), np.array(state.right, float), confidence])
    return bins, brier, len(targets) * probs.size


def measures_of(sums: Sequence[VideoSums], weights: np.ndarray) -> np.ndarray:
    """[draws, MEASURES] of videos that count `weights` [draws, videos] times."""
    bins = np.einsum("dv,vkmb->dkmb", weights, np.stack([each.bins for each in sums]))
    entries, right, confidence = np.moveaxis(bins, 2, 0)
    gaps = np.abs(right - confidence).sum(-1) / entries.sum(-1)
    brier = weights @ np.stack([each.brier for each in sums])
    brier = brier / (weights @ np.stack([each.pixels for each in sums]))
    score = weights @ np.stack([each.scores for each in sums])
    return np.concatenate([gaps, brier, (score[:, 0] / score[:, 1])[:, None]], 1)


def compare(
    soft: Sequence[Sequence[VideoSums]], hard: Sequence[Sequence[VideoSums]], seed: int = 0
) -> dict[str, dict[str, object]]:
    """Measure -> means of both, difference of each pair, and a 95 % interval of the mean one."""
    rng, videos, pairs = np.random.default_rng(seed), len(soft[0]), len(soft)
    once = np.ones((1, videos))
    drawn = rng.multinomial(videos, np.full(videos, 1 / videos), DRAWS).astype(float)
    chosen = rng.integers(0, pairs, (DRAWS, pairs))
    means = [np.concatenate([measures_of(s, once) for s in side]) for side in (soft, hard)]
    differences = np.stack(
        [measures_of(a, drawn) - measures_of(b, drawn) for a, b in zip(soft, hard, strict=True)]
    )
    picked = np.take_along_axis(differences, chosen.T[:, :, None], 0).mean(0)
    low, high = np.percentile(picked, (2.5, 97.5), axis=0)
    found = {}
    for k, name in enumerate(MEASURES):
        found[name] = {
            "soft": float(means[0][:, k].mean()),
            "hard": float(means[1][:, k].mean()),
            "per_pair": (means[0][:, k] - means[1][:, k]).tolist(),
            "difference": float((means[0] - means[1])[:, k].mean()),
            "low": float(low[k]),
            "high": float(high[k]),
        }
    return found


def measure(weights: str, prepared: PreparedSet, split: str, frames: int) -> list[VideoSums]:
    """The sums of every video of a split, in the order of the index."""
    predictor = ImagePredictor.from_checkpoint(weights)
    videos = [pair for pair in prepared.index.videos(split) if pair[1].objects]
    places = [
        (k, t) for k, (_, v) in enumerate(videos) for t in set_index.positions_of(v.annotated)
    ]
    chosen = [places[n] for n in spread(frames, len(places))]
    sums: dict[int, list[VideoSums]] = {}
    progress = Progress(Path(weights).stem, len(chosen))
    for k, t in chosen:
        name, video = videos[k]
        images, maps, _ = prepared.read_frames(name, video, [t], [True])
        assert maps[0] is not None
        labels = np.where(maps[0] == np.iinfo(maps[0].dtype).max, 0, maps[0])
        drawn = [annotate(labels.astype(np.uint8), rater, 0, (k << 32) + t) for rater in RATERS]
        predictor.set_image(images[0])
        for number in np.unique(labels[labels > 0]):
            target = labels == number
            if target.mean() < scoring.MIN_AREA:
                continue
            box = tight_box(target)[None]
            logits = predictor.predict(box=box, multimask_output=False, return_logits=True)[0]
            sums.setdefault(k, []).append(
                _judge(np.squeeze(logits), target, [d == number for d in drawn])
            )
        progress.step()
    progress.finish()
    if not sums:
        raise ValueError(f"--split {split}: no object of {scoring.MIN_AREA:.1%} of a picture.")
    return [
        VideoSums(*(np.sum(part, 0) for part in zip(*own, strict=True)))
        for _, own in sorted(sums.items())
    ]


def _judge(logits: np.ndarray, target: np.ndarray, drawn: Sequence[np.ndarray]) -> VideoSums:
    probs, band = 1 / (1 + np.exp(-logits.astype(float))), band_of(target)
    parts = [count(probs[band], [each[band] for each in them]) for them in (drawn, [target])]
    scored = davis2017.score_frames((logits > 0)[None], target[None])
    jf = float((scored.region.mean() + scored.contour.mean()) / 2)
    bins, brier, pixels = zip(*parts, strict=True)
    return VideoSums(np.stack(bins), np.array(brier), np.array(pixels, float), np.array((jf, 1.0)))


def table(found: dict[str, dict[str, object]]) -> str:
    """Markdown."""
    lines = [
        "| measure | soft | hard | difference | 95 % | per pair |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        pairs = ", ".join(f"{value:+.4f}" for value in row["per_pair"])  # type: ignore[union-attr]
        lines.append(
            f"| {name} | {row['soft']:.4f} | {row['hard']:.4f} | {row['difference']:+.4f} "
            f"| {row['low']:+.4f} to {row['high']:+.4f} | {pairs} |"
        )
    return "\n".join(lines)
