"""The surgical effects are those of the generated world, kept apart from the 18."""

import numpy as np
import pytest

from surgjax.robustness import CORRUPTIONS, SURGICAL, corrupt_surgical
from surgjax.robustness.corruptions import generator
from surgjax.synthetic import PRESETS, generate_image, lens


@pytest.fixture(scope="module")
def frame():
    return generate_image(4, 96, PRESETS["clear"]).frames_u8[0]


def test_the_named_six():
    assert set(SURGICAL) == {"smoke", "blood", "glare", "fog", "low_light", "defocus"}
    assert len(SURGICAL) == 6 and len(CORRUPTIONS) == 18


@pytest.mark.parametrize("name", SURGICAL)
def test_severities_are_fifths_of_the_effect(name, frame):
    away = []
    for severity in (1, 2, 3, 4, 5):
        found = corrupt_surgical(frame, name, severity, seed=(2, 8))
        want = lens.EFFECTS[name](frame, severity / 5, generator(name, (2, 8)))
        np.testing.assert_array_equal(found, want)
        away.append(np.abs(found.astype(float) - frame).mean())
    assert away[0] > 0 and np.diff(away).min() > 0


def test_refusals(frame):
    with pytest.raises(ValueError, match="corruption 'snow' is unknown; there are smoke, blood"):
        corrupt_surgical(frame, "snow", 1)
    with pytest.raises(ValueError, match="severity: expected 1 to 5, found 0"):
        corrupt_surgical(frame, "fog", 0)
