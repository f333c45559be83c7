"""Which frames a predictor remembers while it propagates."""

import pytest

from surgjax.inference.remembered import remembered_frames
from tests.inference.prompted import BOX, CLICK, start


def test_each_object_has_its_prompts_and_the_frames_before(predictor, video):
    state = start(predictor, video, {(1, 2): CLICK, (2, 6): BOX})
    with pytest.raises(ValueError, match="propagate first"):
        remembered_frames(state)
    seen = {}
    for t, _, _ in predictor.propagate_in_video(state):
        seen[t] = remembered_frames(state)
    assert list(seen[2]) == [1] and seen[2][1].prompted == (2,) and not seen[2][1].recent
    assert seen[5][1].recent == (3, 4, 5)
    assert seen[12][1].recent == tuple(range(7, 13)) and seen[12][1].prompted == (2,)
    assert seen[12][2].recent == tuple(range(7, 13)) and seen[12][2].prompted == (6,)
