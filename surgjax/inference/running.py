"""A propagation under way: which frames it has tracked, and which are to come.

Path:    propagation -> [running] -> snapshot
Units:   frame indices count decoded frames.
Source:  ours.
Differs: SAM 2 keeps nothing of a propagation that is cut short.
"""

import dataclasses

from surgjax.inference.device_tracks import DeviceTracks


@dataclasses.dataclass
class Running:
    """A propagation under way through a video whose frames can be read again."""

    tracks: DeviceTracks
    frames: range  # all that this pass tracks
    is_way_back: bool = False  # the second half of `propagate_both`
    then_back: bool = False  # the first half of it
    last: int | None = None  # the frame that was yielded last
    ahead: int = 0  # frames that are tracked and have not been yielded

    @property
    def rest(self) -> range:
        """The frames that are still to come."""
        if self.last is None:
            return self.frames
        return self.frames[self.frames.index(self.last) + 1 :]

    def after(self, t: int) -> int | None:
        """The frame of this pass that follows on t."""
        follows = t + self.frames.step
        return follows if follows in self.frames else None
