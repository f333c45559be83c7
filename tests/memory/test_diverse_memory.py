"""DiveMem, DLM and controls: expected banks by hand, and the specification in plain Python."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgjax.memory import policies
from surgjax.memory.memory_bank import EMPTY
from surgjax.memory.registry import build_policy
from tests.memory.scripted import (
    CONFIG,
    Frame,
    Specification,
    clock,
    long_frames,
    policy,
    run,
)

PROMPT = Frame(0, prompted=True)


def tracked(angles, start=1, **values):
    """Consecutive frames whose memories point along these angles."""
    return [Frame(start + k, angle, **values) for k, angle in enumerate(angles)]


def spatial(memory, bank, at, **where):
    """[(frame, row)] that are read; a memory's frame is found by its pointer's bank index."""
    out = jax.jit(memory.read)(bank, clock(at, **where))
    return out, np.asarray(out.time_index[0, : int(out.count[0])]).tolist()


# Buffers of 3; what is kept follows by hand. Angles are degrees from the prompt's memory.
CASES = {
    "least like the prompt": (tracked([10, 40, 20]), [2]),
    "a buffer that is not full keeps nothing": (tracked([10, 40]), []),
    "then least like the newest kept": (tracked([10, 40, 20, 45, 30, 90]), [2, 6]),
    "turned away from the newest, not from the prompt": (tracked([0, 60, 0, 50, 10, 70]), [2, 5]),
    "ties go to the earliest": (tracked([30, 50, 50]), [2]),
    "a low IoU is no candidate": (
        [Frame(1, 80, iou=0.5), *tracked([10, 40, 20], 2)],
        [3],
    ),
    "an IoU of gamma is not above it": ([Frame(1, 80, iou=0.75), *tracked([10, 40, 20], 2)], [3]),
    "absent is no candidate": ([Frame(1, 80, score=-1), *tracked([10, 40, 20], 2)], [3]),
    "a score of 0 is absent": ([Frame(1, 80, score=0), *tracked([10, 40, 20], 2)], [3]),
    "the newest two stay": (tracked([0, 0, 10, 90, 0, 0, 0, 0, 80]), [4, 7]),
}


@pytest.mark.parametrize("case", CASES)
def test_hand_table(case):
    frames, want = CASES[case]
    memory = policy("divemem", "delta=3,long=2,gamma=0.75")
    assert long_frames(run(memory, [PROMPT, *frames])) == want


def test_a_candidate_is_like_some_prompt_where_that_is_asked():
    prompt = Frame(0, prompted=True, likeness=1)
    frames = [Frame(1, 80, likeness=0.5), Frame(2, 70, likeness=-1), Frame(3, 10, likeness=0.9)]
    frames += [Frame(4, 40, likeness=0.81), Frame(5, 20, likeness=1)]
    asked = policy("divemem", "delta=3,likeness=0.8")
    assert long_frames(run(asked, [prompt, *frames])) == [4]
    assert long_frames(run(policy("divemem", "delta=3"), [prompt, *frames])) == [1]
    # A second prompt that looks otherwise counts as much as the first, before its frame too.
    other = Frame(9, prompted=True, likeness=0.5)
    assert long_frames(run(asked, [prompt, other, *frames])) == [1]
    # Slots without a prompt hold zeros, which are like nothing: cosine 0.
    anything = policy("divemem", "delta=1,likeness=0,gamma=0")
    assert long_frames(run(anything, [prompt, Frame(1, likeness=-0.5)])) == []


@pytest.mark.parametrize("value", ["1.01", "-1.5"])
def test_likeness_is_a_cosine(value):
    with pytest.raises(ValueError, match=f"likeness={value}: a cosine"):
        policy("divemem", f"likeness={value}")


def test_dlm_has_no_test_of_presence():
    frames = [PROMPT, Frame(1, 80, score=-1), *tracked([10, 40], 2)]
    assert long_frames(run(policy("dlm", "delta=3"), frames)) == [1]
    assert long_frames(run(policy("divemem", "delta=3"), frames)) == []


def test_a_prompt_on_the_way_becomes_the_reference_of_divemem_alone():
    # Kept first: frame 2 (90 degrees). The prompt on frame 5 points along 90 degrees too.
    before = tracked([0, 90, 0])
    after = [Frame(5, 90, prompted=True), *tracked([80, 0, 60], 6)]
    script = [PROMPT, *before, Frame(4, 30), *after]
    assert long_frames(run(policy("divemem", "delta=3"), script)) == [2, 7]
    # DLM compares with frame 2, which points the same way; with another prompt they part.
    script[5] = Frame(5, 0, prompted=True)
    assert long_frames(run(policy("divemem", "delta=3"), script)) == [2, 6]
    assert long_frames(run(policy("dlm", "delta=3"), script)) == [2, 7]


def test_a_prompt_on_the_way_empties_the_buffer():
    script = [PROMPT, *tracked([10, 80]), Frame(3, 0, prompted=True), *tracked([20, 30, 10], 4)]
    assert long_frames(run(policy("divemem", "delta=3"), script)) == [5]


def test_a_frame_that_becomes_a_prompt_is_no_long_memory_any_more():
    memory = policy("divemem", "delta=3")
    bank = run(memory, [PROMPT, *tracked([10, 40, 20]), Frame(2, 0, prompted=True)])
    assert long_frames(bank) == []
    assert sorted(np.asarray(bank.short.cond_index).tolist())[-2:] == [0, 2]


@pytest.mark.parametrize("delta", [2, 3])  # the prompt meets an empty buffer, and one of one
@pytest.mark.parametrize("name", ["divemem", "dlm"])
def test_a_prompt_known_beforehand_counts_from_its_frame_on(name, delta):
    """Offline all prompts are in the bank at once; a stream meets them one by one."""
    late = Frame(5, 50, prompted=True)
    before, after = tracked([0, 20, 10, 90]), tracked([40, 0, 60, 10, 0, 70], 6)
    memory = policy(name, f"delta={delta}")
    offline = run(memory, [PROMPT, late, *before, *after])
    stream = run(memory, [PROMPT, *before, late, *after])
    assert long_frames(offline) == long_frames(stream) != []


def test_backward_in_time_works_alike():
    memory = policy("divemem", "delta=3,long=2")
    frames = [PROMPT, *tracked([10, 40, 20, 45, 30, 90])]
    mirrored = [Frame(100 - f.index, f.angle, f.iou, f.score, f.prompted) for f in frames]
    assert long_frames(run(memory, mirrored)) == [98, 94]


def test_fifo_keeps_the_frame_that_fills_the_buffer():
    frames = [PROMPT, *tracked([90, 0, 0, 90, 0, 0])]
    assert long_frames(run(policy("divemem", "delta=3,selection=fifo"), frames)) == [3, 6]


def random_choice(seed, repeat=40):
    memory = policy("random_long", f"delta=4,long={repeat},seed={seed}")
    return long_frames(run(memory, [PROMPT, *tracked([0] * 4 * repeat)]))


def test_the_random_control_draws_each_place_alike_and_again_the_same():
    drawn = random_choice(0)
    assert drawn == random_choice(0) != random_choice(1)
    places = [(frame - 1) % 4 for frame in drawn]
    assert [(frame - 1) // 4 for frame in drawn] == list(range(40))  # one of every buffer
    assert min(places.count(p) for p in range(4)) >= 3  # 10 expected; 3 or fewer is p < 0.004


def test_a_random_draw_depends_on_the_frame_and_not_on_the_past():
    memory = policy("random_long", "delta=4")
    alone = long_frames(run(memory, [Frame(90, prompted=True), *tracked([0] * 4, 101)]))
    later = [PROMPT, *tracked([0] * 4, 1), *tracked([0] * 4, 101)]
    assert long_frames(run(memory, later))[1:] == alone


ANGLES = (0, 1, 3, 9, 27, 81)  # all differences differ, so only equal memories are ties
FRAMES = st.tuples(
    st.sampled_from(ANGLES),
    st.sampled_from([0.5, 0.96, 0.96, 0.99]),
    st.sampled_from([-1.0, 0.0, 2.0, 2.0, 2.0]),
    st.sampled_from([True] + [False] * 9),
)
RULES = [
    ("divemem", dict(delta=5, long=3)),
    ("divemem", dict(delta=1, long=2)),
    ("dlm", dict(delta=3, long=1)),
]


@pytest.fixture(scope="module", params=RULES, ids=str)
def rule(request):
    name, sizes = request.param
    memory = policy(name, sizes)
    kinds = dict(presence=name == "divemem", follow=name == "divemem")
    return jax.jit(memory.write), jax.jit(memory.read), memory.init(), dict(sizes, **kinds)


@settings(deadline=None, max_examples=25)
@given(st.lists(FRAMES, min_size=1, max_size=40))
def test_as_the_specification_with_lists(rule, script):
    """The running best of the buffer is the whole buffer's choice, ties to the earliest."""
    write, read, bank, options = rule
    specified = Specification(**options)
    frames = [PROMPT]
    frames += [Frame(k + 1, a, iou, score, p) for k, (a, iou, score, p) in enumerate(script)]
    for frame in frames:
        bank = write(bank, frame.entry())
        specified.write(frame)
        assert long_frames(bank) == [f.index for f in specified.kept]
    out = read(bank, clock(len(frames)))
    short = policies.read_recent(bank.short, clock(len(frames)), 8, 7, 16)
    extra = int(out.count[0]) - int(short.count[0])
    assert extra == len(specified.read(len(frames)))


def test_what_is_read_long_memories_last_and_not_twice():
    memory = policy("divemem", "delta=3")
    bank = run(memory, [PROMPT, *tracked([10, 40, 20])])
    _, rows = spatial(memory, bank, 4)
    assert sorted(rows) == [0, 1, 2, 6]  # frame 2 is two steps back: in the short window
    bank = run(memory, tracked([0] * 6, 4, iou=0.5), bank)
    out, rows = spatial(memory, bank, 10)
    assert rows == [6, *rows[1:7], 6] and sorted(rows) == [0, 1, 2, 3, 4, 5, 6, 6]
    np.testing.assert_array_equal(out.features[0, 7], Frame(2, 40).memory)
    assert out.features.shape[1] == 8 + 6 + 3


@pytest.mark.parametrize(
    ("name", "embedding", "row"),
    [("divemem", False, 6), ("divemem", True, 7), ("dlm", True, 6), ("random_long", True, 7)],
)
def test_row_of_the_temporal_table(name, embedding, row):
    config = CONFIG.replace(long_memory_embedding=embedding)
    memory = policy(name, "delta=1,long=1", config)
    bank = run(memory, [PROMPT, Frame(1, 40), *tracked([0] * 7, 2, iou=0)])
    assert spatial(memory, bank, 9)[1][-1] == row


def test_pointers_of_long_memories_on_request_and_beyond_the_horizon_only():
    frames = [PROMPT, Frame(1, 40), *tracked([0] * 20, 2, iou=0.5)]
    for at, with_pointer in [(15, set()), (16, set()), (17, {(1, 16)})]:
        seen = []
        for pointers in ("false", "true"):
            memory = policy("divemem", f"delta=1,pointers={pointers}")
            out, _ = spatial(memory, run(memory, frames[:at]), at)
            live = np.asarray(out.pointer_valid[0])
            index = np.asarray(out.pointers[0, :, 0])[live].astype(int).tolist()
            back = np.asarray(out.pointer_distance[0])[live].astype(int).tolist()
            seen.append(set(zip(index, back, strict=True)))
            assert len(index) == len(set(index))
        assert seen[1] - seen[0] == with_pointer


def test_nothing_long_reads_as_sam2():
    memory, plain = policy("divemem"), policy("recent")
    frames = [PROMPT, *tracked([10, 20, 30], iou=0.1)]
    out = memory.read(run(memory, frames), clock(4))
    want = plain.read(run(plain, frames), clock(4))
    assert out.count == want.count
    keep = int(want.count[0])
    np.testing.assert_array_equal(out.features[0, :keep], want.features[0, :keep])
    np.testing.assert_array_equal(out.time_index[0, :keep], want.time_index[0, :keep])
    chex.assert_trees_all_equal(
        (out.pointers, out.pointer_distance, out.pointer_valid, out.pointer_span),
        (want.pointers, want.pointer_distance, want.pointer_valid, want.pointer_span),
    )


@pytest.mark.parametrize("name", ["divemem", "dlm", "random_long"])
def test_ten_thousand_frames_in_one_compilation(name):
    memory = policy(name)
    rng = np.random.default_rng(0)
    count = 10_000
    angles = np.deg2rad(rng.uniform(0, 360, count)).astype(np.float32)
    xs = (np.arange(1, count + 1, dtype=np.int32), angles, rng.uniform(0.9, 1, count))

    traces = []

    @jax.jit
    def track(bank, xs):
        traces.append(1)

        def step(bank, x):
            t, angle, iou = x
            memory_ = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
            entry = PROMPT.entry().replace(
                features=jnp.broadcast_to(memory_, (CONFIG.grid**2, 2)),
                frame_index=t,
                is_conditioning=jnp.bool_(False),
                iou=iou,
            )
            return memory.write(bank, entry), bank.chosen

        return jax.lax.scan(step, bank, xs)

    bank = run(memory, [PROMPT])
    after, _ = track(bank, jax.tree.map(jnp.asarray, xs))
    again, _ = track(after, jax.tree.map(jnp.asarray, (xs[0] + count, *xs[1:])))
    assert len(traces) == 1 and long_frames(again)[0] > 19_900
    chex.assert_trees_all_equal_shapes_and_dtypes(bank, after)
    assert len(long_frames(after)) == 3 and min(long_frames(after)) > 9_900
    gated = int((np.float32(xs[2]) > np.float32(0.95)).sum())
    assert int(after.chosen) == gated // 5
    assert int(memory.read(after, clock(count + 1)).count[0]) <= 1 + 6 + 3


def test_objects_do_not_see_each_other():
    memory = policy("divemem", "delta=2")
    scripts = [tracked([10, 40, 20, 70]), tracked([80, 0, 30, 10])]
    both = jax.tree.map(lambda *x: jnp.stack(x), memory.init(), memory.init())
    write = jax.jit(jax.vmap(memory.write))
    swapped = both
    for pair in zip([PROMPT, *scripts[0]], [PROMPT, *scripts[1]], strict=True):
        entries = [frame.entry() for frame in pair]
        both = write(both, jax.tree.map(lambda *x: jnp.stack(x), *entries))
        swapped = write(swapped, jax.tree.map(lambda *x: jnp.stack(x), *entries[::-1]))
    chex.assert_trees_all_equal(both, jax.tree.map(lambda x: x[::-1], swapped))
    alone = run(memory, [PROMPT, *scripts[1]])
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], both), alone, atol=1e-6)


def test_memory_does_not_depend_on_the_buffer():
    small, large = (jax.eval_shape(policy("divemem", f"delta={d}").init) for d in (1, 10_000))
    chex.assert_trees_all_equal_shapes_and_dtypes(small, large)


def test_a_bank_without_prompt_keeps_nothing():
    memory = policy("divemem", "delta=1")
    bank = run(memory, tracked([10, 20]))
    assert long_frames(bank) == [] and bool(memory.is_empty(bank))
    assert int(bank.reference_index) == EMPTY


def test_wrong_token_count_is_refused():
    memory = build_policy("divemem", CONFIG)
    entry = Frame(0).entry()
    with pytest.raises(ValueError, match="do not fit a bank of"):
        memory.write(memory.init(), entry.replace(features=entry.features[:1]))
