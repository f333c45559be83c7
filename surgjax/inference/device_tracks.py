"""Banks of a video's objects on the device: which object sits in which slot, and how it got there.

Path:    session -> [device_tracks] -> stream
Axes:    O object slots.
Units:   frame indices; direction +1 or -1.
Source:  ours.
Differs: SAM 2 looks memories up in the session's dicts at every frame. Here they are written into a
         fixed-shape bank once: when a propagation reaches an object, and when a prompt is added.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.inference.programs import OBJECT_BUCKETS, Programs, bucket
from surgjax.inference.records import Record
from surgjax.inference.session import ObjectTrack, VideoState
from surgjax.inference.stream import TrackState
from surgjax.memory.memory_bank import MemoryEntry
from surgjax.memory.policies import Bank


def _entry(frame_idx: int, record: Record, is_conditioning: bool) -> MemoryEntry:
    return MemoryEntry(
        features=record.memory,
        pointer=record.pointer,
        frame_index=np.int32(frame_idx),
        is_conditioning=np.bool_(is_conditioning),
        object_score=np.float32(record.object_score),
        iou=np.float32(record.iou),
    )


def nearest_frames(known: Iterable[int], frame_idx: int, limit: int) -> list[int]:
    """At most `limit` of the known frames: the nearest before, the nearest at or after, then those
    nearest in time. SAM 2 always reads the first two, however far they are."""
    ranked = sorted(known, key=lambda f: (abs(f - frame_idx), f))
    before = [f for f in ranked if f < frame_idx][:1]
    after = [f for f in ranked if f >= frame_idx][:1]
    rest = [f for f in ranked if f not in (*before, *after)]
    return [*before, *after, *rest][:limit]


class DeviceTracks:
    """The banks of the objects of one propagation (or of one correction).

    begins: for some objects, the frame before which (in the direction of travel) nothing is
    replayed; others go on from what an earlier pass left.
    """

    def __init__(
        self,
        programs: Programs,
        state: VideoState,
        direction: int,
        begins: Mapping[int, int] | None = None,
    ):
        self.programs, self.session, self.direction = programs, state, direction
        self._begins = begins or {}
        self.slot_of: dict[int, int] = {}
        self._owner: dict[int, ObjectTrack] = {}  # an id may be given again to another object
        self._written: dict[int, dict[int, Record]] = {}  # conditioning records in the bank
        self._replays: dict[int, int] = {}  # before which frame to replay, once prompts are there
        self.track = programs.stream.init_state(state.capacity, state.num_frames)

    @property
    def capacity(self) -> int:
        return jax.tree.leaves(self.track.bank)[0].shape[0]

    def copied(self) -> TrackState:
        """The banks once more, for a program that uses them up."""
        return jax.tree.map(jnp.copy, self.track)

    def at(self, frame_idx: int) -> None:
        """Sets the clock."""
        self.track = self.track.replace(
            frame_index=np.int32(frame_idx), direction=np.int32(self.direction)
        )

    def drop_missing(self) -> None:
        """Frees the slots of objects that were removed, also where the id is in use again."""
        objects = self.session.objects
        for obj_id in [o for o in self.slot_of if objects.get(o) is not self._owner[o]]:
            del self.slot_of[obj_id], self._owner[obj_id], self._written[obj_id]
            self._replays.pop(obj_id, None)

    def placed(self) -> dict[int, tuple[int, list[int]]]:
        """Of every object in the bank: its slot, and which prompted frames are written there."""
        self.drop_missing()
        return {o: (slot, list(self._written[o])) for o, slot in self.slot_of.items()}

    def put_back(self, bank: Bank, placed: Mapping[int, tuple[int, list[int]]]) -> None:
        """Takes over a bank and what `placed` said of it; the session has its objects already."""
        self.track = self.track.replace(bank=jax.device_put(bank))
        for obj_id, (slot, frames) in placed.items():
            owner = self.session.objects[obj_id]
            self.slot_of[obj_id], self._owner[obj_id] = slot, owner
            self._written[obj_id] = {f: owner.conditioning[f] for f in frames}

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
        self._owner[obj_id] = self.session.objects[obj_id]
        return slot

    def has_prompts(self, obj_id: int) -> bool:
        """Whether the bank holds a conditioning frame of the object; it is empty without one."""
        return bool(self._written[obj_id])

    def _order(self, obj_id: int) -> Callable[[int], tuple[bool, float]]:
        """How conditioning frames are put in order when several are written at once: as a pass from
        the object's first prompt meets them, so that one that starts later has the same bank to the
        last bit."""
        owner = self.session.objects[obj_id]
        first = min if self.direction > 0 else max
        origin = self._begins.get(obj_id, first(owner.anchors, default=0))
        return lambda f: (f in owner.corrections, abs(f - origin))

    def _grow(self, objects: int) -> None:
        objects = max(objects, self.session.capacity)
        self.session.capacity = bucket(objects, OBJECT_BUCKETS, "objects")
        stream = self.programs.stream
        more = stream.init_state(self.session.capacity - self.capacity).bank
        join = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self.track.bank, more)
        self.track = self.track.replace(bank=join)

    def replay(self, obj_id: int, frame_idx: int) -> None:
        """Has `remember_prompts` write what the session keeps of the frames just before this one.

        Prompts come first: a policy may judge a tracked frame by them.
        """
        self.place(obj_id)
        self._replays[obj_id] = frame_idx

    def _replay(self, obj_id: int, frame_idx: int, known: list[int]) -> None:
        """Writes the frames just before this one, oldest first.

        Beyond the reach of SAM 2's own rule only frames since the first of the known prompts
        count, whether or not that one is in the bank.
        """
        store = self.session.store
        if store is None:
            return
        slot = self.place(obj_id)
        begin = self._begins.get(obj_id)
        earliest = 0 if self.direction > 0 else len(self.session.source) - 1
        near = self.programs.stream.config.max_object_pointers - 1
        prompts = known or [frame_idx]
        first = min(prompts) if self.direction > 0 else max(prompts)
        last = min(self.programs.stream.policy.replay, abs(frame_idx - earliest))
        for back in range(last, 0, -1):
            earlier = frame_idx - back * self.direction
            if begin is not None and (earlier - begin) * self.direction < 0:
                continue
            if back > near and (earlier - first) * self.direction < 0:
                continue
            record = store.get(obj_id, earlier)
            if record is not None:
                entry = _entry(earlier, record, False)
                self.track = self.programs.write(self.track, slot, entry)

    def forget(self, obj_id: int, frame_idx: int) -> None:
        """Empties the object's bank but for what the session still keeps of earlier frames."""
        self.track = self.programs.reset(self.track, self.place(obj_id))
        self._written[obj_id] = {}
        self.replay(obj_id, frame_idx)

    def remember_prompts(self, obj_id: int, frame_idx: int, known: Iterable[int]) -> None:
        """Brings the conditioning frames nearest to this one, of those known, into the bank, and
        after them the tracked ones that are to be replayed."""
        slot = self.place(obj_id)
        kept = self.session.objects[obj_id].conditioning
        limit = self.programs.stream.cond_slots
        known = [f for f in known if f in kept]
        want = {f: kept[f] for f in nearest_frames(known, frame_idx, limit)}
        have = self._written[obj_id]
        # A full bank makes room by itself, but drops the frame farthest from the one written, and
        # that may be the only prompt before or after this frame. A live stream forgets as its
        # session does.
        taken_back = any(f not in kept for f in have)
        crowded = len(have.keys() | want.keys()) > limit
        if self.session.live or not (taken_back or crowded):
            pass
        elif taken_back and (self.session.store is not None or not want):
            self.forget(obj_id, frame_idx)  # what was tracked comes back from the records
            have = {}
        else:  # without records, or for want of room, what was tracked stays
            for f in have.keys() - want.keys():
                self.track = self.programs.drop_prompt(self.track, slot, f)
            have = {f: record for f, record in have.items() if f in want}
        for f in sorted(want, key=self._order(obj_id)):
            if have.get(f) is not want[f]:
                self.track = self.programs.write(self.track, slot, _entry(f, want[f], True))
        self._written[obj_id] = want
        if obj_id in self._replays:
            self._replay(obj_id, self._replays.pop(obj_id), known)
