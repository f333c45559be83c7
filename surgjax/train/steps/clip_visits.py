"""The frames of a training clip, visited one after the other by one compiled body.

Path:    TrainingClips, features, schedule -> [clip_visits] -> a log per visit -> promptable
Axes:    B clips, V visits (as many as frames), R rows (one object of one clip).
Units:   see `training_clips`.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: memory of a prompted frame is encoded from the binarised prediction where the model does
         so at inference; SAM 2 trains with the soft one (`binarize_prompted_masks` of the model).
         Memory of an object that is given by its mask is that of the low-resolution mask, as at
         inference; SAM 2 trains with the whole one (`given_masks_full_size`).
         An object that is given by its mask also answers a click or a box on that frame by default,
         so that no row is without a gradient; the constant loss that the reference has there
         instead is left out. No dropout on attention probabilities.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from surgjax.layers.rematerialisation import rematerialise
from surgjax.ops.resize import resize_bilinear
from surgjax.prompts.schedule import PromptSchedule
from surgjax.prompts.simulated_prompts import initial_prompts, no_prompts
from surgjax.structs import Array, ImageFeatures, MaskOutput, PointPrompts
from surgjax.train.steps import clip_drift, clip_memory
from surgjax.train.steps.clip_memory import ClipMemory
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.prompted_frame import choose_rows, prompted_frame
from surgjax.train.steps.semantic_learning import SemanticTruth
from surgjax.train.steps.step_metrics import VisitLog, joined, log_of
from surgjax.train.steps.training_clips import FrameTruth, TrainingClips, per_object

# A stream of randomness beside those of the prompts, which are numbered by the visits.
_MEMORY = 1 << 20


class Visit(flax.struct.PyTreeNode):
    """What one visit is given; of a clip, V leading."""

    number: Array  # [] int32
    features: ImageFeatures  # [B, ...]
    truth: FrameTruth
    place: Array  # [R] int32, frames travelled
    is_long: Array  # [R] bool, a long-range frame of hybrid sampling
    is_conditioning: Array  # [] bool
    is_box: Array  # [R] bool
    corrected: Array  # [R] bool
    by_mask: Array  # [R] bool
    is_last: Array  # [] bool


def all_visits(
    clips: TrainingClips, features: ImageFeatures, plan: PromptSchedule, order: Array | None
) -> Visit:
    """All visits. Clips and features [B, T, ...] come in the order [B, T] of the visits already;
    None says that it is the order in time."""
    frames, rows = clips.masks.shape[1], len(plan.by_mask)
    is_box, corrected = plan.is_box, plan.corrected
    if order is not None:
        turn = plan.per_row(order).T
        is_box = jnp.take_along_axis(is_box, turn, 0)
        corrected = jnp.take_along_axis(corrected, turn, 0)
    number = jnp.arange(frames, dtype=jnp.int32)
    return Visit(
        number=number,
        features=jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), features),
        truth=clips.truths(),
        place=plan.per_row(jnp.asarray(clips.travelled)).T,
        is_long=plan.per_row(jnp.asarray(clips.is_long)).T,
        is_conditioning=number < plan.conditioning[0].sum(),
        is_box=is_box,
        corrected=corrected,
        by_mask=jnp.broadcast_to(plan.by_mask[None], (frames, rows)),
        is_last=number == frames - 1,
    )


def visit_all(
    model: Any,
    variables: Any,
    key: Array,
    visits: Visit,
    objects: int,
    options: PromptOptions,
    semantic: SemanticTruth | None = None,
) -> VisitLog:
    """Scans over the visits with a memory of fixed size; the log of every visit, V leading.

    Where the first frame alone is prompted and nothing is computed anew, it stays outside the scan:
    a scan keeps the activations of both sides of a branch for every visit, and those of prompts and
    corrections would fill the memory. Recomputed they do not, and one body compiles sooner.
    """
    frames, rows = visits.place.shape
    tokens = visits.features.s16.shape[2] * visits.features.s16.shape[3]
    memory = clip_memory.init_clip_memory(
        model.config, rows, tokens, frames - 1, options.remembered_conditioning
    )
    step = Stepper(model, variables, key, objects, options, semantic)
    if options.conditioning_frames > 1 or options.remat != "none":
        return lax.scan(rematerialise(step.any, options.remat, in_scan=True), memory, visits)[1]
    first, rest = (jax.tree.map(lambda x, s=s: x[s], visits) for s in (0, slice(1, None)))
    memory, log = step.prompted(memory, first)
    _, logs = lax.scan(step.tracked, memory, rest)
    return joined(log, logs)


@dataclasses.dataclass(frozen=True)
class Stepper:
    """One visit, in three forms: what is known while tracing leaves the rest out of the program."""

    model: Any
    variables: Any
    key: Array
    objects: int
    options: PromptOptions
    semantic: SemanticTruth | None = None

    def prompted(self, memory: ClipMemory, visit: Visit) -> tuple[ClipMemory, VisitLog]:
        """A conditioning frame that is not the last of its clip."""
        return self._visit(memory, visit, True)

    def tracked(self, memory: ClipMemory, visit: Visit) -> tuple[ClipMemory, VisitLog]:
        """A frame without prompts."""
        return self._visit(memory, visit, False)

    def any(self, memory: ClipMemory, visit: Visit) -> tuple[ClipMemory, VisitLog]:
        """Either, as the visit says."""
        return self._visit(memory, visit, None)

    def _visit(self, memory, visit, is_prompted: bool | None) -> tuple[ClipMemory, VisitLog]:
        options, frames = self.options, memory.pointers.shape[1] + 1
        prompt_key, click_key = jax.random.split(jax.random.fold_in(self.key, visit.number))
        features = per_object(visit.features, self.objects)
        may_correct = options.corrections > 0 and (
            is_prompted is not False or options.corrected_frames > 1
        )
        is_given = self._is_given(visit, is_prompted)
        frame = prompted_frame(
            self.model,
            self.variables,
            click_key,
            features,
            self._conditioned(memory, visit, features.s16, is_prompted),
            visit.truth,
            self._prompts(prompt_key, visit, is_prompted, may_correct),
            visit.corrected if may_correct else None,
            options,
            None if options.given_answers else is_given,
        )
        output = self._remembered(visit, features, frame.output, is_given, is_prompted)
        keeps = visit.corrected & may_correct | visit.is_conditioning
        remembered = self._drifted(visit, output, keeps, frames)
        memory = self._write(memory, visit, features.s16, remembered, keeps, is_given, is_prompted)
        log = log_of(frame, visit.truth)
        if self.semantic is not None:
            terms = self.semantic.terms(self.model, self.variables, output, visit.truth)
            log = log.replace(semantic=terms)
        return memory, log

    def _apply(self, *args, method: str, rngs: dict[str, Array] | None = None) -> Any:
        if rngs is None:
            return self.model.apply(self.variables, *args, method=method)
        return self.model.apply(self.variables, *args, method=method, rngs=rngs)

    def _conditioned(self, memory, visit, s16: Array, is_prompted: bool | None) -> Array:
        """Features with memory, those of a conditioning frame without."""

        def recall() -> Array:
            read = clip_memory.read(memory, visit.place, self.model.config)
            if not self.options.memory_dropout:
                return self._apply(s16, read, method="condition")
            stream = jax.random.fold_in(self.key, _MEMORY)
            rngs = {"dropout": jax.random.fold_in(stream, visit.number)}
            return self._apply(s16, read, False, True, method="condition", rngs=rngs)

        def blank() -> Array:
            return self._apply(s16, method="add_no_memory")

        return _branch(is_prompted, visit.is_conditioning, blank, recall)

    def _prompts(self, key, visit, is_prompted: bool | None, may_correct: bool) -> PointPrompts:
        options, truth = self.options, visit.truth
        slots = 1 if is_prompted is False and not may_correct else options.slots

        def draw() -> PointPrompts:
            exact = options.exact_box_probability
            return initial_prompts(key, truth.masks, slots, visit.is_box, exact, truth.known)

        return _branch(
            is_prompted, visit.is_conditioning, draw, lambda: no_prompts(len(truth.masks), slots)
        )

    def _is_given(self, visit: Visit, is_prompted: bool | None) -> Array | None:
        """Rows [R] whose true mask takes the place of the answer; None where there cannot be."""
        if not self.options.mask_probability or is_prompted is False:
            return None
        return visit.by_mask & visit.is_conditioning

    def _remembered(self, visit, features, answer, is_given, is_prompted) -> MaskOutput:
        """The answer, but for rows that are given [R] the true mask with its pointer.

        It is what a mask prompt leaves at inference. Memory attention learns from these rows before
        the decoder's own masks are good, and masks that annotators draw are no surprise later.
        """
        if is_given is None:
            return answer
        return _branch(
            is_prompted,
            visit.is_conditioning,
            lambda: self.given_masks(features, visit.truth.masks, is_given, answer),
            lambda: answer,
        )

    def _drifted(self, visit: Visit, output: MaskOutput, keeps: Array, visits: int) -> MaskOutput:
        """The answer, in some rows that of another object (`clip_drift`)."""
        if not self.options.drift_probability:
            return output
        rows = len(visit.by_mask)
        last = clip_drift.last_drifting_visit(
            self.key, rows, visits, self.options.drift_probability
        )
        now = (visit.number <= last) & ~keeps & ~visit.is_long
        return clip_drift.drifted(output, now, visit.truth.weights > 0, self.objects)

    def given_masks(self, features, masks: Array, is_given: Array, answer: MaskOutput):
        """The answer, with the true masks [R, S, S] in rows [R] that are given by them."""
        none = no_prompts(len(masks))
        true = self._apply(features, features.s16, masks, none, method="mask_as_output")
        return choose_rows(is_given, true, answer)

    def _write(self, memory, visit, s16, output, keeps, is_given, is_prompted) -> ClipMemory:
        """The memory with this frame in it; what the last visit leaves nobody reads."""
        side = visit.truth.masks.shape[-1]

        def encode() -> Array:
            high_res = resize_bilinear(output.low_res.astype(jnp.float32), (side, side))
            if is_given is not None and self.options.given_masks_full_size:
                whole = self.model.mask_logits(visit.truth.masks)
                high_res = jnp.where(is_given[:, None, None], whole, high_res)
            return self._apply(s16, high_res, output.object_score, keeps, method="encode_memory")

        def skip() -> Array:
            return jnp.zeros((len(s16), *memory.features.shape[2:]), jnp.float32)

        is_last = False if is_prompted else None  # a clip has a second frame
        features = _branch(is_last, visit.is_last, skip, encode)
        is_long = visit.is_long if self.options.memory == "hybrid" else None
        return clip_memory.write(
            memory, features, output.pointer, visit.place, keeps, self.model.config, is_long
        )


def _branch(known: bool | None, traced: Array, yes, no) -> Any:
    """`yes()` or `no()`: by what is known while tracing, else by what is found while running."""
    if known is None:
        return lax.cond(traced, yes, no)
    return yes() if known else no()
