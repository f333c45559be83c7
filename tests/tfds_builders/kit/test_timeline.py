"""Labels over time: names and boxes are checked, boxes follow the stored size."""

from pathlib import Path

import numpy as np
import pytest

from tfds_builders.kit.archive import Frame, LabelError, Video
from tfds_builders.kit.timeline import Moment, TimelineBuilder


class Phases(TimelineBuilder, skip_registration=True):
    """Two phases, two tools; the moment is handed in through `opened`."""

    name = "phases"
    PHASES, TOOLS = ("start", "end"), ("grasper", "hook")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "none"

    def moment(self, root, video, frame, opened):
        return opened


def _example(tmp_path, moment, size=(100, 50)):
    builder = Phases(data_dir=str(tmp_path))
    frame = Frame("a.jpg", "000001", ("labels.txt",))
    video = Video("v", "train", (frame,), "", "v")
    return builder.example(Path(), video, frame, moment, size)


def test_values(tmp_path):
    box = np.array([[10, 5, 30, 25]])
    moment = Moment("end", ("hook",), box, ("hook",), np.array([[4, 2, 1]]))
    example = _example(tmp_path, moment)
    assert example["phase"] == 1
    assert example["has_tools"]
    assert example["tools"].tolist() == [False, True]
    assert example["boxes_xyxy"].tolist() == [[10, 5, 30, 25]]
    assert example["track_ids"].tolist() == [[4, 2, 1]]


def test_what_is_not_labelled_is_said_to_be_unknown(tmp_path):
    example = _example(tmp_path, Moment())
    assert example["phase"] == -1
    assert not example["has_tools"]
    assert example["boxes_xyxy"].shape == (0, 4)
    moment = Moment(boxes_xyxy=np.array([[0, 0, 1, 1]]), box_category=("hook",))
    assert _example(tmp_path, moment)["track_ids"].tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (
            Moment("middle"),
            r"labels\.txt: unknown label: phase 'middle'; expected one of start, end",
        ),
        (Moment(tools=("saw",)), "unknown label: tool 'saw'"),
        (Moment(boxes_xyxy=np.array([[0, 0, 101, 9]]), box_category=("hook",)), "does not lie"),
        (Moment(boxes_xyxy=np.array([[9, 0, 9, 9]]), box_category=("hook",)), "does not lie"),
    ],
)
def test_refusals(tmp_path, moment, message):
    with pytest.raises(LabelError, match=message):
        _example(tmp_path, moment)
