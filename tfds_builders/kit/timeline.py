"""Builders of labels over time: phases, tools present, boxes with tracks; no masks.

Path:    archive -> [timeline] -> records.timeline_features
Axes:    boxes_xyxy [N, 4], track_ids [N, 3], tools [K].
Units:   boxes in pixels of the archive's frame, end exclusive; scaled with `side`.
Errors:  LabelError for a phase, tool or box that the data set should not contain.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfds_builders.kit import archive, records
from tfds_builders.kit.archive import Frame, LabelError, Video
from tfds_builders.kit.builder import ArchiveBuilder


@dataclasses.dataclass
class Moment:
    """Labels of one frame. `tools` None: the frame carries no tool labels."""

    phase: str | None = None
    tools: tuple[str, ...] | None = None
    boxes_xyxy: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4)))
    box_category: tuple[str, ...] = ()
    track_ids: np.ndarray | None = None  # [N, 3]; None: the set has no tracks
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


class TimelineBuilder(ArchiveBuilder, skip_registration=True):
    """`PHASES` and `TOOLS` are the names; `moment` gives the labels of a frame."""

    PHASES: ClassVar[tuple[str, ...]]
    TOOLS: ClassVar[tuple[str, ...]]

    def moment(self, root: Path, video: Video, frame: Frame, opened: Any) -> Moment:
        """The labels of one frame."""
        raise NotImplementedError

    def extra_features(self) -> dict[str, Any]:
        """Features beyond the shared record; filled by `Moment.extra`."""
        return {}

    def features(self):
        return records.timeline_features(self.PHASES, self.TOOLS, extra=self.extra_features())

    def example(self, root, video, frame, opened, size) -> dict[str, Any]:
        moment = self.moment(root, video, frame, opened)
        where = frame.labels[0] if frame.labels else frame.source
        if moment.phase is not None and moment.phase not in self.PHASES:
            raise LabelError(
                f"{where}: unknown label: phase {moment.phase!r}; expected one of "
                f"{', '.join(self.PHASES)}."
            )
        for tool in (*(moment.tools or ()), *moment.box_category):
            if tool not in self.TOOLS:
                raise LabelError(
                    f"{where}: unknown label: tool {tool!r}; expected one of "
                    f"{', '.join(self.TOOLS)}."
                )
        boxes = np.asarray(moment.boxes_xyxy, np.float32).reshape(-1, 4)
        self._check_boxes(boxes, size, f"{where}, {frame.source}")
        small = archive.shrunk_size(*size, self.side)
        scale = np.array([small[0] / size[0], small[1] / size[1]] * 2, np.float32)
        tracks = moment.track_ids
        if tracks is None:
            tracks = np.full((len(boxes), 3), records.UNKNOWN)
        return dict(
            phase=records.UNKNOWN if moment.phase is None else self.PHASES.index(moment.phase),
            has_tools=moment.tools is not None,
            tools=np.array([tool in (moment.tools or ()) for tool in self.TOOLS]),
            boxes_xyxy=boxes * scale,
            box_category=list(moment.box_category),
            track_ids=np.asarray(tracks, np.int32).reshape(-1, 3),
            **moment.extra,
        )

    @staticmethod
    def _check_boxes(boxes: np.ndarray, size, where: str) -> None:
        limit = np.array([*size, *size], np.float32)
        bad = (boxes < 0).any(-1) | (boxes > limit).any(-1) | (boxes[:, 2:] <= boxes[:, :2]).any(-1)
        if bad.any():
            raise LabelError(
                f"{where}: box {boxes[bad][0].tolist()} does not lie in the {size[0]}x{size[1]} "
                "image."
            )
