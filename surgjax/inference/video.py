"""Video predictor: SAM 2's vocabulary over the streaming core.

Path:    video, prompts -> [video] -> masks, frame by frame
Axes:    mask_logits [objects, 1, H, W] float32 at the size of the video, in the order of obj_ids.
Units:   points and boxes in pixels of the video, column first; frame indices count decoded frames.
Errors:  ValueError naming frame and object; FrameReadError where a frame cannot be decoded.
Source:  SAM 2 `sam2/sam2_video_predictor.py`.
Differs: frames are decoded when they are reached; tracked frames leave a compact record in a
         temporary file, so memory is flat; objects may be added and removed at any time, also
         between two frames of a running propagation. An object has no mask (logits -1024) before
         its first prompted frame in the direction of travel (`track_before_first_prompt=True` is
         the reference's way). A corrected frame stays a conditioning frame
         (`corrections_as_conditioning=False` is the reference's way).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from surgjax.inference.frames import open_video
from surgjax.inference.programs import OBJECT_BUCKETS, bucket
from surgjax.inference.prompting import Prompting
from surgjax.inference.propagation import Part, Parts
from surgjax.inference.records import RecordStore
from surgjax.inference.session import (
    VideoState,
    check_frame,
)
from surgjax.inference.snapshot import Snapshot, restore_snapshot, take_snapshot
from surgjax.inference.video_engine import Frame
from surgjax.inference.weights import load_weights


class VideoPredictor(Prompting):
    """Prompts and tracks objects through videos. One predictor serves any number of videos.

    Options, all keyword arguments of the constructor and of `from_checkpoint`:

    memory_precision: what spatial memories are stored in, "bf16" (as the references do) or "fp32".
    memory: the memory policy by name (default "recent", SAM 2's), see `surgjax.memory.registry`.
    memory_options: of that policy, "delta=30,gamma=0.9" or a mapping.
    stream: a `Stream` of one's own, for a policy that has no name.
    fill_hole_area: holes of at most so many pixels of the low-resolution mask are filled; 0 = off.
    non_overlap_masks: at each pixel only the object with the highest logit is kept.
    corrections_as_conditioning: False is the reference's way.
    track_before_first_prompt: True is the reference's way.
    causal: hides prompts on frames that lie ahead, as a live stream does.
    clear_non_cond_mem_around_input: forgets tracked frames near a new prompt.
    keep_records: False leaves no temporary file; then a tracked frame cannot be corrected, and a
        propagation that starts mid-video begins with the prompts alone.
    chunk: so many frames without a prompt are tracked in one program. Masks come together then, and
        what is prompted between two of them counts from the next chunk on (a frame of the chunk
        under way counts as tracked). Live streams are tracked frame by frame.
    encode_ahead: the device has the next frame to encode while masks of this one go to the host
        (not for live streams, nor with `chunk`). Masks are the same.
    records_folder: where the temporary file lies (default: the system's folder).
    text_bank: for models with a semantic token, what `class_probabilities` chooses among.
    """

    @classmethod
    def from_checkpoint(
        cls,
        path_or_name: str = "nano",
        image_size: int | None = None,
        precision: str = "fp32",
        random_weights: bool = False,
        **options: Any,
    ) -> "VideoPredictor":
        """Weights from a file, a folder or the bundled "nano". image_size None = the variant's own.

        random_weights takes path_or_name as the name of a variant and draws seeded weights: masks
        mean nothing then, shapes and speed are real.
        """
        params, config, sha256 = load_weights(path_or_name, image_size, random_weights)
        predictor = cls(params, config, precision, **options)
        predictor.checkpoint_sha256 = sha256
        return predictor

    @property
    def timings(self) -> dict[str, Any]:
        """compile_seconds so far, and step_ms: one entry per tracked frame, model only."""
        return {
            "compile_seconds": self.programs.compile_seconds,
            "step_ms": self.programs.step_ms,
        }

    # ---- videos --------------------------------------------------------------------------------

    def init_state(
        self, video: Any, num_frames: int | None = None, max_objects: int = 4
    ) -> VideoState:
        """Opens a video: a path, a folder, an array, any iterator of frames, or a FrameSource.

        num_frames gives a live stream's length where it is known (below 16 it changes SAM 2's
        pointer horizon). max_objects is what programs are compiled for; more may be added.
        """
        source = open_video(video)
        if source.seekable and num_frames not in (None, len(source)):
            raise ValueError(
                f"num_frames {num_frames}: the video has {len(source)} frames; the length may be "
                "given for a live stream only"
            )
        store = None
        if self.keep_records and source.seekable:
            store = RecordStore(len(source), self.records_folder)
        return VideoState(
            source=source,
            num_frames=source.num_frames if num_frames is None else num_frames,
            height=source.height,
            width=source.width,
            store=store,
            capacity=bucket(max_objects, OBJECT_BUCKETS, "objects"),
        )

    # ---- propagation ---------------------------------------------------------------------------

    def propagate_in_video(
        self,
        state: VideoState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Frame]:
        """Yields (frame_idx, obj_ids, mask_logits) for every frame in the direction of travel.

        start_frame_idx defaults to the earliest prompted frame; max_frame_num_to_track counts
        frames after the first one. Backward from frame 0 yields nothing. All prompts given so far
        are known to every frame, future ones included, unless the predictor is causal.
        """
        self._prepare(state)
        if state.live:
            frames = self._live_frames(state, start_frame_idx, max_frame_num_to_track, reverse)
            return self._propagate(state, frames, 1)
        found = self._frame_range(state, start_frame_idx, max_frame_num_to_track, reverse)
        return self._propagate(state, found, found.step)

    def _frame_range(
        self, state: VideoState, start_frame_idx: int | None, more: int | None, reverse: bool
    ) -> range:
        """The frames that `propagate_in_video` goes through."""
        first = min(min(track.anchors) for track in state.objects.values())
        start = check_frame(state, first if start_frame_idx is None else start_frame_idx)
        assert state.num_frames is not None  # seekable sources know their length
        more = state.num_frames if more is None else more
        if reverse:
            return range(start, max(start - more, 0) - 1 if start > 0 else start, -1)
        return range(start, min(start + more, state.num_frames - 1) + 1)

    def propagate_both(self, state: VideoState) -> Iterator[Frame]:
        """Each object forward from its first prompt, then backward from it.

        The backward pass starts from conditioning memories alone. It yields frames again, with
        the objects that were not tracked there before, and only those, in obj_ids.
        """
        if state.live:
            raise ValueError("a live stream cannot go back: only forward is possible")
        self._prepare(state)
        frames = self._frame_range(state, None, None, False)
        yield from self._propagate(state, frames, 1, then_back=True)
        yield from self._go_back(state)

    def _way_back(self, state: VideoState) -> Parts:
        """The objects of the second half of `propagate_both`, and where their masks start."""
        before = {o: (t, min(t.anchors) - 1) for o, t in state.objects.items() if t.anchors}
        return {obj_id: Part(track, begin, begin) for obj_id, (track, begin) in before.items()}

    def _go_back(self, state: VideoState) -> Iterator[Frame]:
        before = self._way_back(state)
        start = max((part.start for part in before.values()), default=-1)
        yield from self._propagate(state, range(start, -1, -1), -1, before)

    def frames_ahead(self, state: VideoState) -> int:
        """Frames of the chunk under way that are tracked and have not been yielded."""
        return 0 if state.running is None else state.running.ahead

    def snapshot(self, state: VideoState) -> Snapshot:
        """What a propagation has remembered, between two of its frames (or chunks); for `restore`.

        Of a predictor with keep_records=False and a video that can be read again.
        """
        return take_snapshot(state)

    def restore(self, state: VideoState, snapshot: Snapshot) -> None:
        """Puts a snapshot into the new state of the same video; `continue_propagation` goes on."""
        back = self._way_back if snapshot.facts.get("is_way_back") else None
        restore_snapshot(self.programs.stream, state, snapshot, self._tracks, back)

    def continue_propagation(self, state: VideoState) -> Iterator[Frame]:
        """The frames that were still to come when the snapshot in this state was taken."""
        running = state.running
        if running is None:
            raise ValueError("no propagation to go on with: restore a snapshot first")
        back = self._way_back(state) if running.is_way_back else None
        rest = running.rest
        yield from self._propagate(state, rest, rest.step, back, running.then_back, running.tracks)
        if running.then_back:
            yield from self._go_back(state)

    def class_probabilities(self, state: VideoState) -> dict[int, np.ndarray]:
        """Probabilities [K] over the text bank of the objects of the frame that was yielded last.

        Also of objects out of sight: whether one is there its mask tells.
        """
        if self.classifier is None:
            raise ValueError("class_probabilities: the predictor was made without a text_bank")
        return {o: self.classifier.probabilities(v) for o, v in state.semantics.items()}

    def _live_frames(
        self, state: VideoState, start: int | None, more: int | None, reverse: bool
    ) -> Iterator[int]:
        if reverse:
            raise ValueError("reverse: a live stream cannot go back")
        if start is not None and start != state.next_live_frame:
            raise ValueError(
                f"start_frame_idx {start}: a live stream goes on at frame {state.next_live_frame}"
            )
        end = None if more is None else state.next_live_frame + more + 1

        def frames() -> Iterator[int]:
            while end is None or state.next_live_frame < end:
                try:
                    state.source[state.next_live_frame]
                except IndexError:
                    return
                state.next_live_frame += 1
                yield state.next_live_frame - 1

        return frames()
