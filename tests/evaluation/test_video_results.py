"""A video's results by hand: scores by seconds since the prompt, and the file they are kept in."""

import numpy as np
import pytest

from surgjax.evaluation import horizons, video_results
from surgjax.evaluation.video_results import VideoResult
from surgjax.metrics.object_scores import ABSENT, PRESETS, Row


def test_horizons_by_hand():
    bad, good = Row(0.2, 0.4, 0.3, True, True), Row(0.8, 0.6, 0.9, True, True)
    result = VideoResult(
        video="v",
        stems=tuple("abcdefgh"),
        annotated=(0, 2, 4, 6, 7),
        prompted={1: (0,), 2: (4,)},
        fps=2.0,  # 0, 1, 2, 3 and 3.5 s after the first prompt
        rows=({1: good}, {1: good}, {1: bad, 2: good}, {1: good, 2: bad}, {1: bad, 2: None}),
    )
    rows = horizons.per_horizon([result], PRESETS["resurg"], (1.0, 2.5))
    assert [(r["from_s"], r["objects"], r["frames"]) for r in rows] == [
        (0.0, 2, 2), (1.0, 1, 1), (2.5, 1, 2),
    ]  # fmt: skip
    assert [r["J"] for r in rows] == pytest.approx([(0.8 + 0.2) / 2, 0.2, (0.8 + 0.2) / 2])
    assert [r["F"] for r in rows] == pytest.approx([(0.6 + 0.4) / 2, 0.4, (0.6 + 0.4) / 2])
    assert rows[0]["JF"] == pytest.approx(0.5) and np.isnan(rows[2]["to_s"])
    # davis17 drops the last frame of object 1, and of object 2 the last one with a mask.
    rows = horizons.per_horizon([result], PRESETS["davis17"], (1.0, 2.5))
    assert [(r["objects"], r["frames"]) for r in rows] == [(1, 1), (1, 1), (1, 1)]
    again = horizons.per_horizon([result], PRESETS["resurg"], (0.4,))
    assert [r["frames"] for r in again] == [0, 5]
    for bounds in ((), (0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="ascending seconds above 0"):
            horizons.check_bounds(bounds)


def test_results_are_the_same_from_a_file(tmp_path):
    row = Row(1 / 3, 0.1 + 0.2, 2 / 7, True, False)
    result = VideoResult("v", ("x", "y"), (0, 1), {3: (0,)}, 25.0, ({3: row}, {3: None}), ("n",))
    video_results.write_result(tmp_path, "run", result)
    assert video_results.read_result(tmp_path, "run", "v") == result
    assert video_results.read_result(tmp_path, "run", "w") is None
    with pytest.raises(ValueError, match="v.json: a result of another run"):
        video_results.read_result(tmp_path, "other", "v")
    assert ABSENT not in result.rows[0].values()
