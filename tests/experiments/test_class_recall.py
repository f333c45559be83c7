"""Mean recall by hand: rare classes count as much as frequent ones."""

import numpy as np
import pytest

from experiments.sam2s.class_recall import balanced, recall_counts
from experiments.sam2s.long_scores import ObjectRows, to_dict

BANK = ("grasper", "hook", "needle")


def content(*objects):
    return {"objects": [to_dict(one) for one in objects]}


def rows(category, seen, top):
    one = ObjectRows(1, category, 0)
    one.frames = list(range(len(seen)))
    one.in_target, one.top_class = list(seen), list(top)
    return one


def test_hits_are_those_in_sight():
    first = content(rows("grasper", [1, 1, 1, 0], [0, 0, 1, 0]), rows("hook", [1], [0]))
    second = content(rows("hook", [1, 1], [1, 0]), rows("liver", [1], [0]), rows("hook", [1], []))
    hits, counts = recall_counts([[first, second]], BANK)
    assert hits.tolist() == [[[2, 0, 0], [0, 1, 0]]]
    assert counts.tolist() == [[[3, 1, 0], [0, 2, 0]]]
    found = balanced(hits, counts, resamples=200)
    assert found["balanced"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["constant"] == 0.5 and found["recalls"] == pytest.approx({0: 2 / 3, 1: 1 / 3})


def test_one_answer_for_everything_gains_nothing():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, (3, 6, 3)).astype(float)
    counts[:, :4, 2] = 0  # a class of two videos: some draws are without it
    hits = counts * (np.arange(3) == 0)
    found = balanced(hits, counts)
    assert found["balanced"] == pytest.approx(1 / 3)
    assert found["gain"] == pytest.approx([0, 0])
    assert balanced(counts, counts)["gain"][0] > 0.4  # all of them right
    assert balanced(hits[:, :1], counts[:, :1])["interval"] is None


def test_a_draw_without_any_known_class_does_not_count():
    hits = np.zeros((1, 2, 3))
    hits[0, 0, 0] = 5  # the second video has none: a quarter of the draws take it twice
    found = balanced(hits, hits)
    assert found["interval"] == [1, 1] and found["gain"] == [0, 0]
