"""Which frames a predictor remembers of each object, while it propagates.

Path:    session, banks on the device -> [remembered] -> viz.memory_timeline, notebooks
Units:   frame indices count decoded frames from 0.
Errors:  ValueError where nothing has been propagated yet.
Source:  ours.
Differs: nothing to compare with.
"""

from surgjax.inference.session import VideoState
from surgjax.memory.held_frames import HeldFrames, held_frames


def remembered_frames(state: VideoState) -> dict[int, HeldFrames]:
    """Object id -> what its bank holds after the frame that was yielded last."""
    tracks = state.live_tracks if state.live else getattr(state.running, "tracks", None)
    if tracks is None:
        raise ValueError("nothing is remembered yet: propagate first")
    return {o: held_frames(tracks.track.bank, slot) for o, (slot, _) in tracks.placed().items()}
