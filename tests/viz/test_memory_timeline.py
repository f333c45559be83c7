"""The picture of what is remembered: each kind at its place, in its colour."""

import numpy as np
import pytest

from surgjax.viz import memory_timeline

N = 20


def _held(now):
    return {"prompted": (0,), "recent": (now,), "long": (5,) if now >= 10 else ()}


def _at(picture, now, frame):
    side = picture.shape[0] - memory_timeline._TOP - memory_timeline._BOTTOM
    y = memory_timeline._TOP + (now + 0.5) * side / N
    x = memory_timeline._LEFT + (frame + 0.5) * side / N
    return tuple(picture[int(y), int(x)].tolist())


def test_kinds_lie_where_they_belong():
    picture = memory_timeline.draw_memory_timeline(
        {t: _held(t) for t in range(1, N)}, N, absent=(3,), title="divemem"
    )
    colours = memory_timeline.COLOURS
    assert picture.dtype == np.uint8
    assert _at(picture, 7, 0) == colours["prompted"]
    assert _at(picture, 7, 7) == colours["recent"]
    assert _at(picture, 12, 5) == colours["long"]
    assert _at(picture, 9, 5) == (255, 255, 255)  # not kept yet
    assert _at(picture, 9, 3) == memory_timeline._ABSENT


@pytest.mark.parametrize("frames", [3, 700])
def test_any_length_fits(frames):
    rows = {t: {"recent": (t,)} for t in range(frames)}
    picture = memory_timeline.draw_memory_timeline(rows, frames)
    assert max(picture.shape) < 800


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="no row"):
        memory_timeline.draw_memory_timeline({}, 3)
    with pytest.raises(ValueError, match="frame 3 of 3"):
        memory_timeline.draw_memory_timeline({0: {"recent": (3,)}}, 3)


def test_legend_names_every_kind():
    picture = memory_timeline.legend()
    found = set(map(tuple, picture.reshape(-1, 3).tolist()))
    assert set(memory_timeline.COLOURS.values()) <= found
