"""The order in which a clip's frames are visited, and what each visit reads and is given.

The model is a stand-in that writes down what it is asked, so that a step runs without compiling a
network: features of a frame are its pixel value, an answer is a mask that follows no prompt.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.data.clips import ClipBatch
from surgjax.models import variants
from surgjax.prompts.schedule import PromptSchedule
from surgjax.structs import DecoderOutput, ImageFeatures, MaskOutput
from surgjax.train.steps import promptable
from surgjax.train.steps.promptable import SceneBatch
from surgjax.train.steps.prompted_frame import PromptOptions

SIDE, OBJECTS = 32, 2


class Recorder:
    """Answers as a model would, in shapes; keeps what was read, decoded and written."""

    config = variants.get_config("debug").replace(image_size=SIDE, hidden_dim=1, memory_dim=1)

    def __init__(self):
        self.reads, self.decoded, self.memories, self.given = [], [], [], []

    def apply(self, variables, *args, method):
        return getattr(self, method)(*args)

    def encode_image(self, frames):
        value = jnp.round(255 * (0.485 + 0.229 * frames[:, 0, 0, 0]))  # the red channel's bytes
        grids = [(SIDE // 4, 1), (SIDE // 8, 1), (SIDE // 16, 1)]
        return ImageFeatures(
            *(jnp.broadcast_to(value.reshape(-1, 1, 1, 1), (len(value), g, g, d)) for g, d in grids)
        )

    def add_no_memory(self, s16):
        return s16 + 1000.0

    def condition(self, s16, read):
        self.reads.append(read)
        return s16

    def decode(self, features, s16, prompts, mask_prompt, use_mask):
        self.decoded.append((s16[0, 0, 0, 0], prompts, use_mask))
        rows = len(s16)
        logits = jnp.zeros((rows, 4, SIDE // 4, SIDE // 4)) + use_mask.reshape(-1, 1, 1, 1)
        tokens = jnp.zeros((rows, 4, 1))
        return DecoderOutput(logits, jnp.zeros((rows, 4)), jnp.ones(rows), tokens)

    def select(self, output, multimask, dynamic):
        rows = len(multimask)
        pointer = jnp.zeros((rows, 1))
        return MaskOutput(
            output.mask_logits[:, 0],
            output.ious[:, 0],
            output.object_score,
            pointer,
            output.mask_logits[:, 1:],
            output.ious[:, 1:],
        )

    def mask_as_output(self, features, s16, targets, prompts):
        self.given.append(s16[0, 0, 0, 0])
        shape = (len(targets), SIDE // 4, SIDE // 4)
        rows = len(targets)
        return MaskOutput(
            jnp.full(shape, 10.0),
            jnp.ones(rows),
            jnp.full(rows, 10.0),
            jnp.ones((rows, 1)),
            jnp.full((rows, 3, *shape[1:]), 10.0),
            jnp.ones((rows, 3)),
        )

    def encode_memory(self, s16, high_res, object_score, prompted):
        self.memories.append((s16[0, 0, 0, 0], high_res[:, 0, 0], prompted))
        return s16.reshape(len(s16), -1, 1)


def batch(frames, index=None):
    """One clip; frame t has pixels 10 t, every object a block that is there throughout."""
    pixels = np.zeros((1, frames, SIDE, SIDE, 3), np.uint8)
    pixels[:] = 10 * np.arange(frames).reshape(1, -1, 1, 1, 1)
    masks = np.zeros((1, frames, OBJECTS, SIDE, SIDE), bool)
    masks[:, :, 0, 4:12, 4:12] = masks[:, :, 1, 18:28, 18:28] = True
    index = np.arange(frames) if index is None else np.array(index)
    return SceneBatch(pixels, masks, np.ones((1, OBJECTS), bool), index[None].astype(np.int32))


def plan(conditioning, corrected, by_mask=(False, False)):
    """A schedule as if drawn; the first object gets boxes, the second clicks."""
    conditioning, by_mask = np.array(conditioning, bool), np.array(by_mask)
    time = np.arange(len(conditioning))
    return PromptSchedule(
        conditioning=jnp.array(conditioning)[None],
        order=jnp.array(np.argsort(np.where(conditioning, time, time + 99)))[None],
        corrected=jnp.array(np.array(corrected, bool)[:, None] & ~by_mask),
        by_mask=jnp.array(by_mask),
        is_box=jnp.tile(jnp.array([[True, False]]), (len(conditioning), 1)),
    )


@pytest.fixture
def visit(monkeypatch):
    """Runs a clip of a given schedule and returns what the model was asked."""

    def run(schedule, options, index=None):
        model = Recorder()
        monkeypatch.setattr(promptable, "draw_schedule", lambda *_: schedule)
        data = batch(schedule.conditioning.shape[1], index)
        key = jax.random.key(0)
        with jax.disable_jit():  # a branch that is not taken must leave no trace
            loss, metrics = promptable.clip_loss(model, {}, data, key, options)
        return model, float(loss), {name: float(value) for name, value in metrics.items()}

    return run


def test_one_prompted_frame_then_time(visit):
    options = PromptOptions(loss_size=16)
    model, _, _ = visit(plan([1, 0, 0], [1, 0, 0]), options)
    assert [float(v) for v, *_ in model.decoded] == [1000, 10, 20]  # no memory on the first alone
    valid = [np.array(prompts.valid) for _, prompts, _ in model.decoded]
    np.testing.assert_array_equal(valid[0], [[True, True], [True, False]])
    assert not valid[1].any() and not valid[2].any()
    np.testing.assert_array_equal([m[2] for m in model.memories], [[True] * 2, [False] * 2])
    read = model.reads[-1]
    np.testing.assert_array_equal(read.features[0, : read.count[0], 0, 0], [0, 10])


def test_prompted_frames_come_first_and_are_read_by_all(visit):
    options = PromptOptions(loss_size=16, conditioning_frames=2, corrected_frames=2)
    model, _, metrics = visit(plan([1, 0, 0, 1], [1, 0, 0, 1]), options, index=[7, 6, 4, 1])
    assert [float(v) for v, *_ in model.decoded] == [1000, 1030, 10, 20]
    assert all(np.array(model.decoded[i][1].valid).any(1).all() for i in (0, 1))
    assert not any(np.array(model.decoded[i][1].valid).any() for i in (2, 3))
    last = model.reads[-1]
    assert last.count.tolist() == [3, 3] and np.array(last.pointer_valid).all()
    np.testing.assert_array_equal(last.features[0, :, 0, 0], [0, 30, 10])
    np.testing.assert_array_equal(last.time_index[0], [6, 6, 1])
    np.testing.assert_array_equal(last.pointer_distance[0], [3, -3, 2])  # frame 3 lies ahead
    assert metrics["tracked_iou"] >= 0 and "corrected_iou" not in metrics


def test_fewer_prompted_frames_than_there_may_be(visit):
    options = PromptOptions(loss_size=16, conditioning_frames=2, corrected_frames=2)
    model, _, _ = visit(plan([1, 0, 0], [1, 0, 0]), options)
    assert [float(v) for v, *_ in model.decoded] == [1000, 10, 20]
    assert not np.array(model.decoded[1][1].valid).any()
    np.testing.assert_array_equal(model.reads[-1].time_index[0], [6, 0])


def test_corrections_fall_on_their_frames(visit):
    options = PromptOptions(
        loss_size=16, conditioning_frames=1, corrected_frames=2, corrections=3, box_probability=1.0
    )
    model, _, metrics = visit(plan([1, 0, 0], [1, 0, 1]), options)
    assert [float(v) for v, *_ in model.decoded] == [1000] * 4 + [10] + [20] * 4
    counts = [np.array(prompts.valid).sum(1).tolist() for _, prompts, _ in model.decoded]
    assert counts == [[2, 1], [3, 2], [4, 3], [5, 4], [0, 0], [0, 0], [1, 1], [2, 2], [3, 3]]
    uses_mask = [bool(use.all()) for *_, use in model.decoded]
    assert uses_mask == [False, True, True, True, False, False, True, True, True]
    assert "corrected_iou" in metrics


def test_corrected_frames_are_remembered_as_conditioning_ones(visit):
    options = PromptOptions(loss_size=16, corrected_frames=2, corrections=1)
    model, _, _ = visit(plan([1, 0, 0, 0], [1, 1, 0, 0], by_mask=(False, True)), options)
    np.testing.assert_array_equal(
        [prompted for *_, prompted in model.memories], [[True, True], [True, False], [False] * 2]
    )
    np.testing.assert_array_equal(model.reads[-1].time_index, [[6, 6, 0], [6, 1, 0]])


def test_an_object_given_by_its_mask_is_remembered_by_it_and_not_corrected(visit):
    options = PromptOptions(
        loss_size=16, conditioning_frames=2, corrected_frames=2, corrections=1, mask_probability=0.5
    )
    model, with_mask, _ = visit(plan([1, 0, 1], [1, 0, 1], by_mask=(False, True)), options)
    # Its memory is the mask's (10), the corrected neighbour's the answer after a click (1).
    np.testing.assert_allclose([m[1] for m in model.memories], [[1, 10], [1, 10]])
    assert [float(v) for v in model.given] == [0, 20]
    _, none_masked, _ = visit(plan([1, 0, 1], [1, 0, 1]), options)
    assert none_masked > with_mask  # two answers less are counted
    model, _, _ = visit(plan([1, 0, 1], [1, 0, 1], by_mask=(True, True)), options)
    assert len(model.decoded) == 3  # nothing to correct: the work is skipped


def test_options_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="correction_sampling: .*found 'nearest'"):
        PromptOptions(correction_sampling="nearest")
    with pytest.raises(ValueError, match="conditioning_frames <= corrected_frames"):
        PromptOptions(conditioning_frames=2)
    with pytest.raises(ValueError, match="a clip of 3 frames or more"):
        options = PromptOptions(corrected_frames=3)
        promptable.clip_loss(Recorder(), {}, batch(2), jax.random.key(0), options)


def clip_batch(annotated):
    """One clip of `batch` as label maps; frames without annotation are unknown throughout."""
    scenes, annotated = batch(len(annotated)), np.array(annotated)[None]
    maps = (scenes.masks * np.arange(1, OBJECTS + 1).reshape(1, 1, -1, 1, 1)).sum(2)
    maps = maps.astype(np.uint8)
    maps[~annotated] = 255
    return ClipBatch(
        frames_u8=scenes.frames,
        label_maps=maps,
        object_valid=scenes.valid,
        visible=np.repeat(annotated[..., None], OBJECTS, 2),
        is_annotated=annotated,
        is_long=np.zeros_like(annotated),
        is_reversed=np.zeros(1, bool),
        frame_index=scenes.frame_index,
        time_s=scenes.frame_index.astype(np.float32),
        category=np.zeros((1, OBJECTS), np.int32),
        set_index=np.zeros(1, np.int32),
    )


def loss_of(data, options):
    with jax.disable_jit():
        model = Recorder()
        return model, *promptable.clip_loss(model, {}, data, jax.random.key(0), options)


def test_frames_without_annotation_are_tracked_but_have_no_loss():
    """Every answer of the stand-in costs the same, so that losses count answers."""
    options = PromptOptions(loss_size=16, sum_frames=True)
    whole = float(loss_of(clip_batch([True] * 3), options)[1])
    model, loss, metrics = loss_of(clip_batch([True, False, True]), options)
    assert [float(v) for v, *_ in model.decoded] == [1000, 10, 20] and len(model.memories) == 2
    assert float(loss) == pytest.approx(2 / 3 * whole, rel=1e-5)
    mean = PromptOptions(loss_size=16)
    assert float(loss_of(clip_batch([True, False, True]), mean)[1]) == pytest.approx(
        whole / 3, rel=1e-5
    )
    _, alone, metrics = loss_of(clip_batch([True, False, False]), options)
    assert float(alone) == pytest.approx(whole / 3, rel=1e-5)
    assert float(metrics["tracked_score"]) == 0  # nothing tracked is counted


def test_frames_without_annotation_are_neither_prompted_nor_corrected():
    options = PromptOptions(
        loss_size=16, conditioning_frames=2, corrected_frames=3, corrections=1, box_probability=1.0
    )
    for seed in range(4):
        model = Recorder()
        data = clip_batch([True, False, True, False])
        with jax.disable_jit():
            promptable.clip_loss(model, {}, data, jax.random.key(seed), options)
        prompted = {float(v) % 1000 for v, prompts, _ in model.decoded if prompts.valid.any()}
        assert prompted <= {0, 20}
        blank = {float(v) for v, prompts, _ in model.decoded if not prompts.valid.any()}
        assert {10, 30} <= blank


def test_label_maps_and_masks_of_the_same_clip_give_the_same_loss():
    options = PromptOptions(loss_size=16, corrections=1)
    _, ours, _ = loss_of(clip_batch([True] * 3), options)
    _, theirs, _ = loss_of(batch(3), options)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize(("memory", "rows"), [("recent", [6, 5, 5, 0]), ("hybrid", [6, 6, 6, 0])])
def test_long_range_frames_are_read_as_such_on_request(memory, rows):
    """Frames 1 and 2 of five lie far back; the last frame reads them all, the others first."""
    data = dataclasses.replace(
        clip_batch([True] * 5),
        is_long=np.array([[False, True, True, False, False]]),
        frame_index=np.array([[0, 30, 50, 90, 91]]),
    )
    model, _, _ = loss_of(data, PromptOptions(loss_size=16, memory=memory))
    last = model.reads[-1]
    assert int(last.count[0]) == 4
    assert last.time_index[0, :4].tolist() == rows
    assert [read.count[0] for read in model.reads] == [1, 2, 3, 4]


def test_memories_of_a_step_that_are_not_known_are_named():
    with pytest.raises(ValueError, match="memory: one of .*found 'divemem' and 2"):
        PromptOptions(memory="divemem")
