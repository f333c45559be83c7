"""The streaming core: offline and live agree, objects are independent, state is a plain pytree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.inference import VideoPredictor
from surgjax.inference.frames import resize_for_model
from surgjax.inference.stream import Stream, no_prompts
from surgjax.models.sam2 import NO_OBJECT_LOGIT
from surgjax.testing import debug_config, lively_params, moving_squares

CONFIG = debug_config()
PARAMS = lively_params(CONFIG)
STREAM = Stream.create(CONFIG)
SIDE = CONFIG.image_size


TRACES = []


@pytest.fixture(scope="module")
def step():
    def counted(*args):
        TRACES.append(1)
        return STREAM.step(*args)

    return jax.jit(counted)


@pytest.fixture(scope="module")
def frames():
    return [resize_for_model(f, SIDE) for f in moving_squares(20)]


def prompts(clicks, objects=4, masks=None):
    """{slot: [(x, y, label), ...]} on one frame, in model pixels."""
    out = no_prompts(CONFIG, objects)
    conditioning = out.track.copy()
    for slot, points in clicks.items():
        for i, (x, y, label) in enumerate(points):
            out.points.points_xy[slot, i] = x, y
            out.points.labels[slot, i] = label
            out.points.valid[slot, i] = True
    has_mask = np.zeros(objects, bool)
    for slot, mask in (masks or {}).items():
        out.masks[slot], has_mask[slot] = mask, True
    return out.replace(has_mask=has_mask, as_conditioning=conditioning)


CLICKS = {0: [(20, 20, 1)], 1: [(4, 8, 2), (30, 40, 3)], 2: [(40, 30, 1), (10, 10, 0)]}


def run(step, frames, prompted, state=None, objects=4, start=0):
    """Steps over frames; prompted maps a frame index to prompts. Returns outputs and the state."""
    state = STREAM.init_state(objects, len(frames)) if state is None else state
    outputs = []
    for t in range(start, len(frames)):
        now = prompted.get(t, no_prompts(CONFIG, objects))
        state, output = step(PARAMS, state, frames[t], now)
        outputs.append(jax.device_get(output))
    return outputs, state


@pytest.fixture(scope="module")
def together(step, frames):
    return run(step, frames, {0: prompts(CLICKS)})[0]


def span(outputs):
    logits = np.concatenate([o.low_res[o.ran].ravel() for o in outputs])
    return logits.max() - logits.min()


def test_one_trace_for_a_whole_video(together):
    assert len(TRACES) == 1


def test_the_scene_can_tell(together):
    """Masks differ between objects and frames, or nothing below would mean anything."""
    assert all(o.ran.tolist() == [True, True, True, False] for o in together)
    assert span(together) > 5
    assert np.abs(together[5].low_res[0] - together[6].low_res[0]).max() > 0.05
    assert np.abs(together[5].low_res[0] - together[5].low_res[1]).max() > 0.05


def test_empty_slots_have_no_mask(together):
    assert all((o.low_res[3] == NO_OBJECT_LOGIT).all() for o in together)
    assert all(o.object_score[3] == NO_OBJECT_LOGIT for o in together)


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_each_object_alone_gives_the_same_mask(step, frames, together, slot):
    alone, _ = run(step, frames, {0: prompts({slot: CLICKS[slot]})})
    limit = 1e-4 * span(together)
    for one, many in zip(alone, together, strict=True):
        assert np.abs(one.low_res[slot] - many.low_res[slot]).max() <= limit
        np.testing.assert_allclose(one.pointer[slot], many.pointer[slot], atol=1e-4)


def test_objects_may_change_places(step, frames, together):
    order = [2, 0, 1]  # the object of slot 0 goes to slot 2, and so on
    moved, _ = run(step, frames, {0: prompts({order[s]: c for s, c in CLICKS.items()})})
    limit = 1e-4 * span(together)
    for slot, other in enumerate(order):
        for a, b in zip(together, moved, strict=True):
            assert np.abs(a.low_res[slot] - b.low_res[other]).max() <= limit


def test_an_object_added_later_changes_no_other(step, frames, together):
    late, _ = run(step, frames, {0: prompts({0: CLICKS[0]}), 7: prompts({3: [(50, 20, 1)]})})
    assert [o.ran[3] for o in late] == [False] * 7 + [True] * 13
    limit = 1e-4 * span(together)
    for a, b in zip(together, late, strict=True):
        assert np.abs(a.low_res[0] - b.low_res[0]).max() <= limit


def test_state_survives_a_save_in_the_middle(step, frames, together, tmp_path):
    """Orbax keeps every bit, bfloat16 memories included; the rest of the video is identical."""
    import orbax.checkpoint as ocp

    _, state = run(step, frames[:9], {0: prompts(CLICKS)}, STREAM.init_state(4, len(frames)))
    with ocp.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", state)
        saver.wait_until_finished()
        restored = saver.restore(tmp_path / "state", jax.eval_shape(lambda: state))
    rest, _ = run(step, frames, {}, restored, start=9)
    assert int(restored.frame_index) == 9
    for a, b in zip(together[9:], rest, strict=True):
        np.testing.assert_array_equal(a.low_res, b.low_res)
        np.testing.assert_array_equal(a.pointer, b.pointer)


def test_a_mask_prompt_is_the_answer(step, frames):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:40, 8:30] = True
    outputs, _ = run(step, frames[:3], {0: prompts({}, masks={1: mask})})
    low = outputs[0].low_res[1]
    assert low.max() == 10 and low.min() == -10
    assert outputs[0].object_score[1] == 10
    assert outputs[1].ran.tolist() == [False, True, False, False]


def test_an_empty_mask_says_that_the_object_is_absent(step, frames):
    outputs, _ = run(step, frames[:2], {0: prompts({}, masks={0: np.zeros((SIDE, SIDE), bool)})})
    assert outputs[0].object_score[0] == -10
    np.testing.assert_allclose(outputs[0].pointer[0], PARAMS["no_obj_ptr"][0], atol=1e-6)


def test_a_prompt_in_the_padding_changes_nothing(step, frames, together):
    """What stands in a prompt slot that is not valid must not matter."""
    noisy = prompts(CLICKS)
    noisy.points.points_xy[~noisy.points.valid] = 33.0
    noisy.points.labels[~noisy.points.valid] = 1
    outputs, _ = run(step, frames[:2], {0: noisy})
    np.testing.assert_array_equal(outputs[0].low_res, together[0].low_res)


def test_memories_are_bfloat16_and_may_be_float32():
    import jax.numpy as jnp

    state = jax.eval_shape(lambda: STREAM.init_state(2))
    assert state.bank.recent_features.dtype == jnp.bfloat16
    wide = Stream.create(CONFIG, memory_dtype=jnp.float32)
    assert jax.eval_shape(lambda: wide.init_state(2)).bank.cond_features.dtype == jnp.float32


@pytest.mark.parametrize("objects", [1, 16])
def test_state_has_fixed_shapes_at_full_size(objects):
    from surgjax.models.variants import get_config

    stream = Stream.create(get_config("tiny"))
    state = jax.eval_shape(lambda: stream.init_state(objects))
    assert state.bank.cond_features.shape == (objects, 16, 4096, 64)
    assert state.bank.recent_features.shape == (objects, 6, 4096, 64)
    assert state.bank.pointers.shape == (objects, 15, 256)


def test_bfloat16_compute_stays_near_float32(step, frames, together):
    import jax.numpy as jnp

    half = Stream.create(CONFIG, dtype=jnp.bfloat16)
    outputs, _ = run(jax.jit(half.step), frames[:4], {0: prompts(CLICKS)}, half.init_state(4, 20))
    for a, b in zip(outputs, together, strict=False):
        assert a.low_res.dtype == np.float32
        assert np.abs(a.low_res - b.low_res)[:3].max() < 0.1 * span(together)
        assert np.abs(a.low_res - b.low_res)[:3].max() > 0  # it is another precision


def test_version_2_0_tracks_and_differs(frames, together):
    """2.0 has no occlusion embedding and no positions on pointers."""
    config = debug_config(version="2.0")
    stream, params = Stream.create(config), lively_params(config)
    assert "obj_ptr_tpos_proj" not in params and "no_obj_embed_spatial" not in params
    state = stream.init_state(4, 20)
    old = jax.jit(stream.step)
    for t in range(3):
        now = prompts(CLICKS) if t == 0 else no_prompts(config, 4)
        state, output = old(params, state, frames[t], now)
    assert np.isfinite(output.low_res).all()
    assert np.asarray(output.ran).tolist() == [True, True, True, False]


def test_a_policy_may_keep_any_bank(frames, together):
    """The tracker knows a bank through the policy's functions only."""
    inner = STREAM.policy
    wrapped = inner._replace(
        init=lambda: {"inner": inner.init(), "written": jnp.int32(0)},
        write=lambda bank, entry: {
            "inner": inner.write(bank["inner"], entry),
            "written": bank["written"] + 1,
        },
        read=lambda bank, clock: inner.read(bank["inner"], clock),
        is_empty=lambda bank: inner.is_empty(bank["inner"]),
    )
    stream = Stream(CONFIG, wrapped)
    state = stream.init_state(4, len(frames))
    step = jax.jit(stream.step)
    for t in range(3):
        state, output = step(PARAMS, state, frames[t], prompts(CLICKS if t == 0 else {}))
    assert state.bank["written"].tolist() == [3, 3, 3, 0]
    np.testing.assert_array_equal(output.low_res, together[2].low_res)


def test_a_policy_serves_the_video_predictor():
    inner = STREAM.policy
    wrapped = inner._replace(
        init=lambda: {"inner": inner.init()},
        write=lambda bank, entry: {"inner": inner.write(bank["inner"], entry)},
        read=lambda bank, clock: inner.read(bank["inner"], clock),
        is_empty=lambda bank: inner.is_empty(bank["inner"]),
    )
    predictor = VideoPredictor(PARAMS, CONFIG, stream=Stream(CONFIG, wrapped), fill_hole_area=4)
    state = predictor.init_state(moving_squares(3))
    predictor.add_new_points_or_box(state, 0, 1, points=[[20, 20]])
    assert len(list(predictor.propagate_in_video(state))) == 3
