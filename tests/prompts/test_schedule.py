"""The draw of prompted and corrected frames: its rules on every draw, its shares by counting."""

import functools

import jax
import numpy as np
import pytest

from surgjax.prompts.schedule import BOX, CLICK, MASK, NONE, ScheduleOptions, draw_schedule

FRAMES, ROWS, DRAWS = 6, 3, 4000
MOSE = ScheduleOptions(2, True, 2, True, mask_probability=0.5, box_probability=0.5)
WIDE = ScheduleOptions(3, True, 5, True, mask_probability=0.5, box_probability=0.5)


@functools.cache
def draws(options, frames=FRAMES, seed=0):
    """Many schedules, [DRAWS, ...], and the kinds of their prompts [DRAWS, T, R]."""
    keys = jax.random.split(jax.random.key(seed), DRAWS)

    @jax.jit
    def one(key):
        plan = draw_schedule(key, frames, ROWS, options)
        kinds = plan.kinds()  # one clip, whose axis is left out
        return plan.replace(conditioning=plan.conditioning[0], order=plan.order[0]), kinds

    return jax.tree.map(np.array, jax.vmap(one)(keys))


def assert_shares(counts, shares):
    """Pearson's chi-square of counts against shares, at p = 1e-4; the seeds are fixed."""
    counts, expected = np.asarray(counts, float), np.asarray(shares, float)
    expected = expected * counts.sum()
    limit = {1: 15.1, 2: 18.4, 3: 21.1, 4: 23.5, 5: 25.7}[len(counts) - 1]
    assert ((counts - expected) ** 2 / expected).sum() < limit, (counts, expected)


@pytest.mark.parametrize("options", [MOSE, WIDE])
def test_rules_that_hold_on_every_draw(options):
    plan, kinds = draws(options)
    assert plan.conditioning[:, 0].all()
    count = plan.conditioning.sum(1)
    assert count.min() == 1 and count.max() == options.conditioning_frames
    by_points = ~plan.by_mask
    corrected = plan.corrected.any(2)
    chosen = by_points.any(1)  # batches with an object that can be corrected
    assert (plan.corrected <= by_points[:, None]).all()  # masks are never corrected
    assert (plan.conditioning <= corrected)[chosen].all()  # conditioning frames always are
    assert (corrected.sum(1) >= count)[chosen].all()
    assert corrected.sum(1).max() == options.corrected_frames
    rows = plan.corrected == (corrected[..., None] & by_points[:, None])
    assert rows.all()  # the frames are the batch's, not an object's
    assert ((kinds != NONE) == plan.conditioning[..., None]).all()
    assert ((kinds == MASK) == (plan.by_mask[:, None] & plan.conditioning[..., None])).all()


@pytest.mark.parametrize("options", [MOSE, WIDE])
def test_conditioning_frames_come_first_then_time(options):
    plan, _ = draws(options)
    for order, conditioning in zip(plan.order[:200], plan.conditioning[:200], strict=True):
        first, later = np.nonzero(conditioning)[0], np.nonzero(~conditioning)[0]
        assert order.tolist() == [*first, *later]


def test_orders_by_hand():
    seen = {tuple(order) for order in draws(ScheduleOptions(2, False, 2), 3)[0].order.tolist()}
    assert seen == {(0, 1, 2), (0, 2, 1)}
    seen = {tuple(order) for order in draws(ScheduleOptions(1, False, 2), 3)[0].order.tolist()}
    assert seen == {(0, 1, 2)}


def test_counts_are_uniform():
    plan, _ = draws(WIDE)
    count = plan.conditioning.sum(1)
    assert_shares(np.bincount(count)[1:], [1 / 3] * 3)
    by_points = ~plan.by_mask.all(1)
    corrected = plan.corrected.any(2).sum(1)
    for drawn in (1, 2, 3):  # uniform in [drawn, 5]
        found = np.bincount(corrected[by_points & (count == drawn)], minlength=6)[drawn:]
        assert found.sum() > 800 and len(found) == 6 - drawn
        assert_shares(found, [1 / len(found)] * len(found))


def test_which_frames_is_uniform():
    plan, _ = draws(WIDE)
    others = plan.conditioning.sum(1) == 2
    assert_shares(plan.conditioning[others, 1:].sum(0), [1 / 5] * 5)
    pairs = plan.conditioning[plan.conditioning.sum(1) == 3][:, 1:]
    found = [(pairs[:, a] & pairs[:, b]).sum() for a, b in [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]]
    assert_shares([*found, len(pairs) - sum(found)], [0.1] * 5 + [0.5])
    corrected = plan.corrected.any(2) & ~plan.conditioning  # a fair draw among the rest
    alone = (plan.conditioning.sum(1) == 1) & (corrected.sum(1) == 1)
    assert_shares(corrected[alone, 1:].sum(0), [1 / 5] * 5)


def test_kinds_of_prompts_have_their_shares():
    _, kinds = draws(MOSE)
    assert_shares(np.bincount(kinds[:, 0, 0])[1:], [0.25, 0.25, 0.5])  # click, box, mask
    plan, kinds = draws(ScheduleOptions(mask_probability=0.15, box_probability=0.8))
    assert_shares(np.bincount(kinds[:, 0, 1])[1:], [0.17, 0.68, 0.15])
    assert (kinds[:, 1:] == NONE).all() and not plan.conditioning[:, 1:].any()


def test_a_box_is_drawn_anew_for_every_frame_and_object():
    plan, kinds = draws(ScheduleOptions(2, False, 2, mask_probability=0.0))
    second = plan.order[:, 1]
    first_kind, second_kind = kinds[:, 0, 0], kinds[np.arange(DRAWS), second, 0]
    pairs = 2 * (first_kind == BOX) + (second_kind == BOX)
    assert_shares(np.bincount(pairs), [0.25] * 4)
    objects = 2 * (kinds[:, 0, 0] == BOX) + (kinds[:, 0, 1] == BOX)
    assert_shares(np.bincount(objects), [0.25] * 4)


def test_an_object_keeps_its_mask_on_all_conditioning_frames_and_objects_differ():
    plan, kinds = draws(ScheduleOptions(2, False, 2, mask_probability=0.5))
    second = kinds[np.arange(DRAWS), plan.order[:, 1]]
    np.testing.assert_array_equal(kinds[:, 0] == MASK, second == MASK)
    assert_shares(np.bincount(2 * plan.by_mask[:, 0] + plan.by_mask[:, 1]), [0.25] * 4)


def test_no_object_is_special():
    """Every pattern of kinds over the objects is as frequent as the same pattern permuted."""
    kinds = draws(MOSE)[1][:, 0]
    patterns = [(CLICK, BOX, MASK), (BOX, MASK, CLICK), (MASK, CLICK, BOX),
                (CLICK, MASK, BOX), (BOX, CLICK, MASK), (MASK, BOX, CLICK)]  # fmt: skip
    counts = [(kinds == np.array(pattern)).all(1).sum() for pattern in patterns]
    assert min(counts) > 80
    assert_shares(counts, [1 / 6] * 6)


def test_a_single_frame_is_prompted_by_points_alone():
    plan, kinds = draws(MOSE, frames=1)
    assert not plan.by_mask.any() and plan.conditioning.all() and plan.corrected.all()
    assert_shares(np.bincount(kinds[:, 0, 0])[1:], [0.5, 0.5])


def test_evaluation_draws_nothing():
    """SAM 2's settings for evaluation: masks or points always, fixed counts."""
    options = ScheduleOptions(2, False, 3, False, mask_probability=0.0, box_probability=0.0)
    plan, kinds = draws(options)
    assert (plan.conditioning.sum(1) == 2).all() and (plan.corrected.all(2).sum(1) == 3).all()
    assert set(np.unique(kinds)) == {NONE, CLICK}


def test_one_program_for_all_draws():
    traces = []

    @jax.jit
    def draw(key):
        traces.append(key)
        return draw_schedule(key, FRAMES, ROWS, WIDE)

    shapes = {str(jax.tree.map(np.shape, draw(jax.random.key(seed)))) for seed in range(5)}
    assert len(traces) == 1 and len(shapes) == 1


def test_settings_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="expected, found 3 and 2"):
        ScheduleOptions(3, True, 2)
    with pytest.raises(ValueError, match="expected, found 0 and 1"):
        ScheduleOptions(0)
    with pytest.raises(ValueError, match=r"box_probability: 0..1 expected, found 1.5"):
        ScheduleOptions(box_probability=1.5)
    with pytest.raises(ValueError, match=r"5 frames or more .* found 4"):
        draw_schedule(jax.random.key(0), 4, ROWS, WIDE)


def test_only_annotated_frames_are_prompted_or_corrected():
    options = ScheduleOptions(3, False, 4, False, mask_probability=0.5)
    annotated = np.array([[True, False, True, True, False, True], [True] * 6])

    @jax.jit
    def one(key):
        return draw_schedule(key, FRAMES, 4, options, annotated)

    plan = jax.tree.map(np.array, jax.vmap(one)(jax.random.split(jax.random.key(1), 500)))
    assert (plan.conditioning.sum(2) == 3).all()  # as many in each clip
    assert not (plan.conditioning & ~annotated).any()
    rows = np.repeat(annotated, 2, 0).T
    assert not (plan.corrected & ~rows).any()
    by_points = ~plan.by_mask
    np.testing.assert_array_equal(
        plan.corrected.sum(1), np.where(by_points, np.minimum(4, rows.sum(0)), 0)
    )
    for clip in range(2):  # every annotated frame has its turn
        shares = plan.conditioning[:, clip].mean(0)
        assert shares[0] == 1 and (shares[annotated[clip]] > 0.2).all()
    first = np.take_along_axis(plan.conditioning, plan.order, 2)
    assert (first == (np.arange(FRAMES) < 3)).all()


def test_a_clip_with_few_annotated_frames_sets_the_count_of_all():
    annotated = np.array([[True, False, False, True], [True] * 4])
    options = ScheduleOptions(3, False, 3, False)
    plan = draw_schedule(jax.random.key(0), 4, 2, options, annotated)
    np.testing.assert_array_equal(plan.conditioning.sum(1), [2, 2])
    np.testing.assert_array_equal(plan.order[0], [0, 3, 1, 2])
