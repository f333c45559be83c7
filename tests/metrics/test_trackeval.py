"""HOTA, CLEAR and identity scores against TrackEval 1.3.0 on random and awkward sequences.

TrackEval is installed by `make` without its own requirements: it asks for opencv-python, which
overwrites the files of opencv-python-headless. Nothing of it needed a shim under numpy 2; only its
BURST data set, not used here, is left out where `tabulate` is missing, and it prints so.
"""

import numpy as np
import pytest

from surgjax.metrics import clear, hota, identity, tracks

trackeval = pytest.importorskip("trackeval")
QUIET = {"PRINT_CONFIG": False}
SEQUENCES = 240
METRICS = {
    hota: trackeval.metrics.HOTA(),
    clear: trackeval.metrics.CLEAR(dict(QUIET)),
    identity: trackeval.metrics.Identity(dict(QUIET)),
}


def _random_pair(rng):
    """A short sequence: ids that come and go, similarities with ties, thresholds and zeros."""
    frames, truths, predictions = rng.integers(1, 14), rng.integers(0, 7), rng.integers(0, 7)
    sparse = rng.random()
    style = rng.integers(0, 4)
    true_ids, predicted_ids, similarities = [], [], []
    for _ in range(frames):
        true = rng.permutation(np.flatnonzero(rng.random(truths) < sparse))
        predicted = rng.permutation(np.flatnonzero(rng.random(predictions) < sparse))
        shape = (len(true), len(predicted))
        if style == 0:  # any number
            similarity = rng.random(shape)
        elif style == 1:  # on the thresholds themselves, with many ties
            similarity = rng.integers(0, 21, shape) * 0.05
            similarity = np.minimum(similarity, 1.0)
        elif style == 2:  # equal ids mostly fit, as a tracker's do
            similarity = np.where(true[:, None] == predicted[None], rng.uniform(0.3, 1, shape), 0.0)
            similarity += np.where(similarity == 0, 0.2 * rng.random(shape), 0.0)
        else:  # nothing or everything
            similarity = (rng.random(shape) < 0.4).astype(float)
        true_ids.append(true)
        predicted_ids.append(predicted)
        similarities.append(similarity)
    # Any whole numbers may be ids; those of TrackEval are made below.
    return tracks.make_pair(
        [5 * ids + 3 for ids in true_ids], [100 - ids for ids in predicted_ids], similarities
    )


def _boxes_pair(rng):
    """Boxes that drift, with names that swap now and then."""
    count, frames = rng.integers(1, 6), rng.integers(2, 20)
    corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(4, 30, (count, 2))
    names = np.arange(count)
    rows = ([], [], [])
    for _ in range(frames):
        corner = corner + rng.normal(0, 2, (count, 2))
        if rng.random() < 0.2:
            names = rng.permutation(names)
        boxes = np.concatenate([corner, corner + size], 1)
        noisy = boxes + rng.normal(0, 2, boxes.shape)
        here, seen = rng.random(count) < 0.9, rng.random(count) < 0.85
        rows[0].append(np.flatnonzero(here))
        rows[1].append(names[seen])
        rows[2].append(tracks.box_iou(boxes[here], noisy[seen]))
    return tracks.make_pair(*rows)


def _edge_cases():
    none = np.zeros(0, int)
    return {
        "no frames": tracks.make_pair([], [], []),
        "nothing at all": tracks.make_pair([none] * 3, [none] * 3, [np.zeros((0, 0))] * 3),
        "no truth": tracks.make_pair([none] * 3, [[4, 2]] * 3, [np.zeros((0, 2))] * 3),
        "no prediction": tracks.make_pair([[4, 2]] * 3, [none] * 3, [np.zeros((2, 0))] * 3),
        "never together": tracks.make_pair(
            [[1], none], [none, [1]], [np.zeros((1, 0)), np.zeros((0, 1))]
        ),
        "perfect": tracks.make_pair([[1, 2]] * 4, [[1, 2]] * 4, [np.eye(2)] * 4),
        "all zero": tracks.make_pair([[1, 2]] * 4, [[1, 2]] * 4, [np.zeros((2, 2))] * 4),
        "one pixel of luck": tracks.make_pair([[1]], [[1]], [np.full((1, 1), 1e-17)]),
        "at the threshold": tracks.make_pair([[1]] * 2, [[1]] * 2, [np.full((1, 1), 0.5)] * 2),
        "just below": tracks.make_pair(
            [[1]] * 2, [[1]] * 2, [np.full((1, 1), np.nextafter(0.5, 0))] * 2
        ),
        "swap and back": tracks.make_pair(
            [[1, 2]] * 6,
            [[1, 2], [1, 2], [2, 1], [2, 1], [1, 2], [1, 2]],
            [np.eye(2) * 0.9] * 6,
        ),
        "gap without truth": tracks.make_pair(
            [[1], none, [1]],
            [[7], [7], [8]],
            [np.ones((1, 1)), np.zeros((0, 1)), np.ones((1, 1))],
        ),
    }


def _for_trackeval(pair):
    counted = tracks.count_from_zero(pair)
    return {
        "num_timesteps": len(pair),
        "num_gt_ids": len(counted.truth_count),
        "num_tracker_ids": len(counted.predicted_count),
        "num_gt_dets": int(counted.truth_count.sum()),
        "num_tracker_dets": int(counted.predicted_count.sum()),
        "gt_ids": list(counted.pair.truth_ids),
        "tracker_ids": list(counted.pair.predicted_ids),
        "similarity_scores": list(pair.similarities),
    }


def _compute(metric, state):
    return metric.compute(state, frames="trackeval") if metric is clear else metric.compute(state)


def _assert_equal(metric, ours, theirs):
    compared = 0
    for name, value in theirs.items():
        if name == "MOTP_sum":
            continue
        assert ours[name] == pytest.approx(np.mean(value), abs=1e-9, rel=0), name
        compared += 1
        if metric is hota and name in hota.SCORES:
            curve = ours["per_alpha"][name]
            np.testing.assert_allclose(curve, value, rtol=0, atol=1e-9, err_msg=name)
    assert compared >= {hota: 15, clear: 20, identity: 6}[metric]


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(20090736)
    random = {f"random {i}": _random_pair(rng) for i in range(SEQUENCES)}
    boxes = {f"boxes {i}": _boxes_pair(rng) for i in range(SEQUENCES // 4)}
    return {**random, **boxes, **_edge_cases()}


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__.rsplit(".")[-1])
def test_every_sequence_and_all_together(metric, pairs):
    reference = METRICS[metric]
    state, results = metric.init_state(), {}
    for name, pair in pairs.items():
        counts = metric.score_sequence(pair)
        data = _for_trackeval(pair)
        theirs = results[name] = reference.eval_sequence(data)
        if not data["num_gt_dets"]:  # CLEAR leaves MOTA and others at 0, unlike its own sum of one
            theirs = reference.combine_sequences({name: theirs})
        alone = _compute(metric, metric.update(metric.init_state(), name, counts))
        _assert_equal(metric, alone, theirs)
        state = metric.update(state, name, counts)
    together = _compute(metric, state)
    _assert_equal(metric, together, reference.combine_sequences(results))
    assert len(together["per_sequence"]) == len(pairs)


def test_the_cases_are_not_all_alike(pairs):
    """A comparison over sequences that all score 0 or 1 would show nothing."""
    scores = [hota.compute({"one": hota.score_sequence(pair)})["HOTA"] for pair in pairs.values()]
    assert len(set(np.round(scores, 6))) > 200
    switches = [clear.score_sequence(pair).switches for pair in pairs.values()]
    assert np.count_nonzero(switches) > 60


def test_box_iou_is_trackevals():
    rng = np.random.default_rng(0)
    for _ in range(50):
        truth = rng.uniform(0, 20, (rng.integers(0, 6), 4))
        predicted = rng.integers(0, 20, (rng.integers(0, 6), 4)).astype(float)
        truth[:, 2:] += truth[:, :2]
        predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2])  # some without area
        want = trackeval.datasets._base_dataset._BaseDataset._calculate_box_ious(
            truth.copy(), predicted.copy(), box_format="x0y0x1y1"
        )
        np.testing.assert_allclose(tracks.box_iou(truth, predicted), want, rtol=0, atol=1e-12)
