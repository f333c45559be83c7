"""Which frames are shown as the worst: the same as by sorting all of them."""

import numpy as np
import pytest

from surgjax.evaluation.worst_frames import worst_rows


def _by_sorting(rows, count):
    """Every row of every object, ranked within its object and then between objects."""
    by_object = {}
    for row in sorted(rows, key=lambda row: row["J"] + row["F"]):
        by_object.setdefault((row["sequence"], row["object"]), []).append(row)
    ranked = [(place, row) for of in by_object.values() for place, row in enumerate(of)]
    return [row for _, row in sorted(ranked, key=lambda p: (p[0], p[1]["J"] + p[1]["F"]))][:count]


@pytest.mark.parametrize("objects", [1, 3, 5, 12])
def test_from_a_stream_as_from_a_list(objects):
    """Objects come again after they were dropped, with better and with worse rows."""
    rng = np.random.default_rng(objects)
    for count in (1, 4, 6):
        rows = [
            {"sequence": "v", "object": int(rng.integers(objects)), "J": j, "F": j / 3}
            for j in rng.permutation(60) / 60.0
        ]
        assert worst_rows(iter(rows), count) == _by_sorting(rows, count)
