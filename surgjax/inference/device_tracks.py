"""Banks of a video's objects on the device: which object sits in which slot, and how it got there.

Path:    session -> [device_tracks] -> stream
Axes:    O object slots.
Units:   frame indices; direction +1 or -1.
Source:  ours.
Differs: SAM 2 looks memories up in the session's dicts at every frame. Here they are written into a
         fixed-shape bank once: when a propagation reaches an object, and when a prompt is added.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.inference.programs import OBJECT_BUCKETS, Programs, bucket
from surgjax.inference.records import Record
from surgjax.inference.session import VideoState
from surgjax.memory.memory_bank import MemoryEntry


def _entry(frame_idx: int, record: Record, is_conditioning: bool) -> MemoryEntry:
    return MemoryEntry(
        features=record.memory,
        pointer=record.pointer,
        frame_index=np.int32(frame_idx),
        is_conditioning=np.bool_(is_conditioning),
        object_score=np.float32(record.object_score),
        iou=np.float32(record.iou),
    )


class DeviceTracks:
    """The banks of the objects of one propagation (or of one correction)."""

    def __init__(self, programs: Programs, state: VideoState, direction: int):
        self.programs, self.session, self.direction = programs, state, direction
        self.slot_of: dict[int, int] = {}
        self._written: dict[int, dict[int, Record]] = {}  # conditioning records in the bank
        self.track = programs.stream.init_state(state.capacity, state.num_frames)

    @property
    def capacity(self) -> int:
        return jax.tree.leaves(self.track.bank)[0].shape[0]

    def at(self, frame_idx: int) -> None:
        """Sets the clock."""
        self.track = self.track.replace(
            frame_index=np.int32(frame_idx), direction=np.int32(self.direction)
        )

    def drop_missing(self) -> None:
        """Frees the slots of objects that were removed."""
        for obj_id in [o for o in self.slot_of if o not in self.session.objects]:
            del self.slot_of[obj_id], self._written[obj_id]

    def place(self, obj_id: int) -> int:
        """The object's slot; a new one is empty."""
        if obj_id in self.slot_of:
            return self.slot_of[obj_id]
        free = set(range(self.capacity)) - set(self.slot_of.values())
        if not free:
            self._grow(self.capacity + 1)
            free = set(range(self.capacity)) - set(self.slot_of.values())
        slot = min(free)
        self.track = self.programs.reset(self.track, slot)
        self.slot_of[obj_id], self._written[obj_id] = slot, {}
        return slot

    def has_prompts(self, obj_id: int) -> bool:
        """Whether the bank holds a conditioning frame of the object; it is empty without one."""
        return bool(self._written[obj_id])

    def _grow(self, objects: int) -> None:
        self.session.capacity = bucket(objects, OBJECT_BUCKETS, "objects")
        stream = self.programs.stream
        more = stream.init_state(self.session.capacity - self.capacity).bank
        join = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self.track.bank, more)
        self.track = self.track.replace(bank=join)

    def replay(self, obj_id: int, frame_idx: int) -> None:
        """Writes what the session keeps of the frames just before this one, oldest first."""
        store = self.session.store
        if store is None:
            return
        slot = self.place(obj_id)
        for back in range(self.programs.stream.policy.replay, 0, -1):
            earlier = frame_idx - back * self.direction
            record = store.get(obj_id, earlier)
            if record is not None:
                entry = _entry(earlier, record, False)
                self.track = self.programs.write(self.track, slot, entry)

    def remember_prompts(self, obj_id: int, frame_idx: int, known: Iterable[int]) -> None:
        """Brings the conditioning frames nearest to this one, of those known, into the bank."""
        slot = self.place(obj_id)
        kept = self.session.objects[obj_id].conditioning
        limit = self.programs.stream.cond_slots
        nearest = sorted((f for f in known if f in kept), key=lambda f: (abs(f - frame_idx), f))
        want = {f: kept[f] for f in nearest[:limit]}
        have = self._written[obj_id]
        # The bank of a live stream forgets the farthest prompt by itself, as the session does.
        if not self.session.live and any(f not in kept for f in have):  # one was taken back
            self.track = self.programs.reset(self.track, slot)
            have = {}
            self.replay(obj_id, frame_idx)
        for f, record in want.items():
            if have.get(f) is not record:
                self.track = self.programs.write(self.track, slot, _entry(f, record, True))
        self._written[obj_id] = want
