"""Several memory policies on one video at a time: every frame is encoded once for all of them.

Path:    frames, prompts from the truth -> [SharedTracker] -> logits of every policy -> long_scores
Axes:    O object slots, S side of the model input; low_res [O, S/4, S/4]; masks bool [H, W].
Units:   frames count from 0; points in pixels of the video.
Errors:  ValueError for policies, options or prompts that are not known.
Source:  ours, over `surgjax.inference.stream`.
Differs: `VideoPredictor` keeps records so that a user can go back, and encodes a frame for every
         predictor. Here nobody goes back. An object's clicks are the same under all policies, as a
         prompted frame reads no memory. `gate=truth` is a control that no user has: the bank is
         written with true instead of predicted IoUs, which bounds what a better gate can bring.
"""

import dataclasses
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.evaluation.prompting import clicks_of, first_prompt
from surgjax.evaluation.segmenter import Prompt
from surgjax.inference.frame_source import FrameSource
from surgjax.inference.frames import resize_for_model
from surgjax.inference.programs import POINT_BUCKETS, PRECISIONS, Programs, bucket
from surgjax.inference.session import VideoState, make_points
from surgjax.inference.stream import FramePrompts, Stream, TrackOutput, TrackState
from surgjax.memory.memory_bank import MemoryEntry
from surgjax.memory.registry import options_for, parse_options, stated
from surgjax.models.variants import Sam2Config
from surgjax.ops.masks import fit_mask, resize_logits
from surgjax.structs import ImageFeatures

_LOGIT_LIMIT = 32.0  # of a mask that is being corrected, as in the predictor


class PolicySpec(NamedTuple):
    """A policy of the registry with its options, under the name of the tables."""

    label: str
    name: str
    options: Any
    truth: bool = False  # memory is told the true IoU of a mask, not the predicted one

    @property
    def stated(self) -> str:
        """With every option."""
        return stated(self.name, self.options) + (" with true IoUs" if self.truth else "")


def parse_policies(text: str, fps: float | None = None) -> list[PolicySpec]:
    """ "recent,divemem:gamma=0.9;delta=10": options follow a colon, semicolons between them.

    Beside the policy's own, gate=truth (a control).
    """
    specs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, options = part.partition(":")
        name, given = name.strip(), parse_options(options.replace(";", ","))
        gate = given.pop("gate", "predicted")
        if gate not in ("predicted", "truth"):
            raise ValueError(f"--memory {part}, gate={gate}: predicted or truth expected.")
        made = options_for(name, given, fps)
        specs.append(PolicySpec(part.replace(" ", ""), name, made, gate == "truth"))
    labels = [spec.label for spec in specs]
    if not specs or len(set(labels)) != len(labels):
        raise ValueError(f"--memory {text!r}: one policy or more expected, each of them once.")
    return specs


@dataclasses.dataclass
class SlotPrompt:
    """What one object is told on its first frame, in model pixels."""

    points_xy: np.ndarray | None = None  # [n, 2]
    labels: np.ndarray | None = None  # [n]
    mask: np.ndarray | None = None  # [S, S]
    previous: np.ndarray | None = None  # [S/4, S/4], the answer before the last click


class Tracked(NamedTuple):
    """One frame under all policies; still on the device."""

    frame: int
    outputs: dict[str, TrackOutput]


Target = Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]  # slot, frame -> mask, ignored


class SharedTracker:
    """One set of weights under several policies; the programs outlive the weights."""

    def __init__(
        self,
        params: dict,
        config: Sam2Config,
        policies: list[PolicySpec],
        slots: int,
        kind: str = "3-click",
        precision: str = "fp32",
    ):
        self.config, self.slots, self.kind = config, slots, kind
        self.points = bucket(max(clicks_of(kind), 2), POINT_BUCKETS, "clicks")
        params = jax.device_put(params)
        dtype = PRECISIONS[precision]
        self.truth = {spec.label for spec in policies if spec.truth}
        self._rewrite = jax.jit(_rewritten, static_argnums=0)
        self.programs: dict[str, Programs] = {
            spec.label: Programs(
                Stream.create(config, dtype, memory=spec.name, memory_options=spec.options), params
            )
            for spec in policies
        }

    def set_params(self, params: dict) -> None:
        """Other weights of the same configuration; nothing is compiled again."""
        params = jax.device_put(params)
        for programs in self.programs.values():
            programs.params = params

    def on_compile(self, announce: Callable[[str], None]) -> None:
        """Calls announce("POLICY: what is compiled") before every compilation."""
        for label, programs in self.programs.items():
            programs.on_compile = lambda what, label=label: announce(f"{label}: {what}")

    @property
    def compile_seconds(self) -> float:
        """Of all policies so far."""
        return sum(programs.compile_seconds for programs in self.programs.values())

    def track(
        self,
        source: FrameSource,
        starts: Mapping[int, int],
        target: Target,
        labels: Collection[str] = (),
    ) -> Iterator[Tracked]:
        """Frames from the first prompt on. starts: object slot -> the frame that is prompted.

        labels: the policies to run, all by default.
        A frame is handed out when the next one is under way, so scoring it costs no time of its
        own where a core is free.
        """
        first = min(starts.values())
        one = next(iter(self.programs.values()))
        blank = one.blank_prompts(self.slots, self.points)
        chosen = {k: one for k, one in self.programs.items() if k in (labels or self.programs)}
        states = {
            label: programs.stream.init_state(self.slots, len(source), first)
            for label, programs in chosen.items()
        }
        waiting: Tracked | None = None
        for t in range(first, len(source)):
            features = one.encode(resize_for_model(source[t], self.config.image_size))
            new = [slot for slot, start in starts.items() if start == t]
            prompts = blank
            if new:
                size = (source.height, source.width)
                found = {s: self.prompt_slot(features, t, s, size, target) for s in new}
                prompts = self._padded(found, blank)
            outputs: dict[str, TrackOutput] = {}
            for label, programs in chosen.items():
                told = label in self.truth
                before = jax.tree.map(jnp.copy, states[label]) if told else None  # it is donated
                states[label], outputs[label] = programs.track(states[label], features, prompts)
                if before is not None:
                    ious = self._true_ious(outputs[label], t, starts, target)
                    bank = self._rewrite(programs.stream, before, outputs[label], prompts, ious)
                    states[label] = states[label].replace(bank=bank)
            if waiting is not None:
                yield waiting
            waiting = Tracked(t, outputs)
        if waiting is not None:
            yield waiting

    def _true_ious(
        self, output: TrackOutput, t: int, starts: Mapping[int, int], target: Target
    ) -> np.ndarray:
        """[O] float32 of the masks of this frame; 0 where the object is out of sight."""
        ious, low_res = np.zeros(self.slots, np.float32), np.asarray(output.low_res)
        for slot, start in starts.items():
            if start <= t:
                mask, ignored = target(slot, t)
                found = resize_logits(low_res[slot], mask.shape) > 0
                known = np.ones_like(mask) if ignored is None else ~ignored
                union = np.count_nonzero((mask | found) & known)
                ious[slot] = np.count_nonzero(mask & found & known) / max(union, 1)
        return ious

    def prompt_slot(
        self, features: ImageFeatures, t: int, slot: int, size: tuple[int, int], target: Target
    ) -> SlotPrompt:
        """Clicks (or box, or mask) of one object, made against the model's answers to them."""
        programs = next(iter(self.programs.values()))
        blank = programs.blank_prompts(self.slots, self.points)
        last = SlotPrompt()
        answer: np.ndarray | None = None

        def ask(prompt: Prompt) -> np.ndarray:
            nonlocal last, answer
            last = self._slot_prompt(prompt, size, answer)
            state = programs.stream.init_state(self.slots, None, t)
            only = np.arange(self.slots) == slot
            padded = self._padded({slot: last}, blank).replace(track=only)
            _, output = programs.track(state, features, padded)
            answer = np.asarray(output.low_res[slot])
            return resize_logits(answer, size) > 0

        mask, ignored = target(slot, t)
        first_prompt(self.kind, mask, ask, ignored)
        return last

    def _slot_prompt(
        self, prompt: Prompt, size: tuple[int, int], previous: np.ndarray | None
    ) -> SlotPrompt:
        side = self.config.image_size
        if prompt.mask is not None:
            return SlotPrompt(mask=fit_mask(prompt.mask, side))
        video = cast(VideoState, types.SimpleNamespace(height=size[0], width=size[1]))
        points = make_points(
            video, side, "prompt", prompt.points_xy, prompt.labels, prompt.box_xyxy, True
        )
        if previous is not None:
            previous = np.clip(previous, -_LOGIT_LIMIT, _LOGIT_LIMIT)
        return SlotPrompt(points.points_xy, points.labels, previous=previous)

    def _padded(self, found: Mapping[int, SlotPrompt], blank: FramePrompts) -> FramePrompts:
        """Prompts of some slots; the others are tracked."""
        o, p, s, q = self.slots, self.points, self.config.image_size, self.config.mask_size
        xy, labels = np.zeros((o, p, 2), np.float32), np.full((o, p), -1, np.int32)
        valid, has_mask, has_previous = np.zeros((o, p), bool), np.zeros(o, bool), np.zeros(o, bool)
        masks, logits = np.zeros((o, s, s), bool), np.zeros((o, q, q), np.float32)
        for slot, prompt in found.items():
            if prompt.mask is not None:
                masks[slot], has_mask[slot] = prompt.mask, True
            if prompt.points_xy is not None and prompt.labels is not None:
                count = len(prompt.labels)
                xy[slot, :count], labels[slot, :count] = prompt.points_xy, prompt.labels
                valid[slot, :count] = True
            if prompt.previous is not None:
                logits[slot], has_previous[slot] = prompt.previous, True
        points = blank.points.replace(points_xy=xy, labels=labels, valid=valid)
        return blank.replace(
            points=points,
            masks=masks,
            has_mask=has_mask,
            previous_logits=logits,
            has_previous=has_previous,
        )


def _rewritten(
    stream: Stream,
    before: TrackState,
    output: TrackOutput,
    prompts: FramePrompts,
    ious: jax.Array,
) -> Any:
    """The bank after a frame, written with these IoUs [O] in place of the predicted ones."""
    prompted = prompts.has_mask | prompts.points.valid.any(-1)
    entries = MemoryEntry(
        features=output.memory,
        pointer=output.pointer,
        frame_index=jnp.broadcast_to(before.frame_index, ious.shape),
        is_conditioning=prompted & prompts.as_conditioning,
        object_score=output.object_score,
        iou=ious,
    )
    written = jax.vmap(stream.policy.write)(before.bank, entries)

    def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(output.ran.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(chosen, written, before.bank)
