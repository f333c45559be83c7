"""The script: phases in order, only actions of the table, tools that come and go in steps."""

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, procedure
from surgjax.synthetic.jaws import KINDS

CONFIG = PRESETS["surgery"]


def _script(seed, frames, config=CONFIG, targets=procedure.TARGETS):
    return procedure.draw_script(np.random.default_rng(seed), frames, targets, config)


def test_the_table_names_what_exists():
    assert set(procedure.TRIPLETS) == set(procedure.PHASES)
    lines = [line for hands in procedure.TRIPLETS.values() for h in hands.values() for line in h]
    assert {kind for kind, *_ in lines} == set(KINDS)  # all ten instruments have something to do
    assert {verb for _, verb, _, _ in lines} == set(procedure.VERBS)
    assert {target for _, _, target, _ in lines} <= set(procedure.TARGETS)
    assert all(set(hands) <= set(procedure.HANDS) for hands in procedure.TRIPLETS.values())
    assert all(weight > 0 for *_, weight in lines)


@pytest.mark.parametrize("frames", [1, 2, 16, 64, 400, 3000])
def test_any_length_has_phases_in_order_and_acts_of_the_table(frames):
    for seed in range(4):
        script = _script(seed, frames)
        assert script.phase_ids.shape == (frames,) and script.phase_ids.dtype == np.int32
        assert set(np.diff(script.phase_ids)) <= {0, 1}
        assert 0 <= script.phase_ids[0] and script.phase_ids[-1] < len(procedure.PHASES)
        assert script.withdrawn.shape == script.in_body.shape == (frames, len(script.tools))
        for act in script.acts:
            tool = script.tools[act.tool]
            if 0 <= act.first < frames:
                # An act may begin a few frames after its tool was chosen, in the phase before.
                near = {script.phase_ids[max(0, act.first - 30)], script.phase_ids[act.first]}
                allowed = [
                    line[:3]
                    for phase in near
                    for line in procedure.TRIPLETS[procedure.PHASES[phase]].get(tool.hand, ())
                ]
                assert (tool.kind, act.verb, act.target) in allowed
    assert len(np.unique(_script(0, 3000).phase_ids)) == len(procedure.PHASES)


def test_one_hand_holds_one_tool_and_does_one_thing():
    for seed in range(6):
        script = _script(seed, 1500)
        for hand in procedure.HANDS:
            own = [k for k, tool in enumerate(script.tools) if tool.hand == hand]
            assert (script.in_body[:, own].sum(1) <= 1).all()
            acts = sorted((a for a in script.acts if a.tool in own), key=lambda a: a.first)
            for before, after in zip(acts[:-1], acts[1:], strict=True):
                assert before.last < after.first
        for act in script.acts:  # who works is at work
            span = slice(max(0, act.first), max(0, act.last + 1))
            assert (script.withdrawn[span, act.tool] == 0).all()
            assert script.in_body[span, act.tool].all()


def test_tools_go_out_in_steps_and_outside_is_out():
    script = _script(1, 2000, CONFIG.replace(p_rest=0.4, p_leave=0.4))
    steps = np.abs(np.diff(script.withdrawn, axis=0))
    assert steps.max() < 1.6 / procedure.RAMP  # an S-curve is 1.5 times as steep as its mean
    assert (script.withdrawn[~script.in_body] == 1).all()
    resting = script.in_body & (script.withdrawn == procedure.RESTING)
    assert resting.any() and (~script.in_body).any()
    entries = (np.diff(script.in_body.astype(int), axis=0) == 1).sum(0)
    assert entries.max() >= 2, "no tool ever came back into the body"


def test_targets_that_are_not_there_are_left_alone():
    script = _script(2, 1000, targets=("liver", "gallbladder"))
    assert {act.target for act in script.acts} <= {"liver", "gallbladder"}
    assert procedure.triplets_of("clipping_cutting", "right", ("liver",)) == []


def test_a_site_that_likes_scissors_uses_them_more():
    def share(config):
        acts = [(s, a) for k in range(12) for s in [_script(k, 600, config)] for a in s.acts]
        return np.mean([s.tools[a.tool].kind == "scissors" for s, a in acts])

    assert share(CONFIG.replace(favourite_kinds=("scissors",))) > 1.5 * share(CONFIG)


def _absences(script) -> list[int]:
    """Lengths of the stretches, between two of work, in which a tool is out of the view."""
    lengths = []
    for away in (script.withdrawn > 0.9 * procedure.RESTING).T:
        steps = np.flatnonzero(np.diff(np.pad(away, 1).astype(int)))
        for start, stop in steps.reshape(-1, 2):
            if start > 0 and stop < len(away):
                lengths.append(int(stop - start))
    return lengths


def test_tools_of_long_clips_stay_away_for_long_and_come_back():
    scripts = [_script(seed, 700, PRESETS["long"]) for seed in range(30)]
    returning = [max(_absences(script), default=0) >= 100 for script in scripts]
    assert np.mean(returning) >= 0.9
    kinds = [[tool.kind for tool in script.tools] for script in scripts]
    assert np.mean([len(set(names)) < len(names) for names in kinds]) >= 0.75  # a kind twice
    # Without the long rests tools come back from a new phase only.
    config = PRESETS["long"].replace(p_long_rest=0.0)
    short = [_script(seed, 700, config) for seed in range(30)]
    count = sum(length >= 100 for script in scripts for length in _absences(script))
    assert count > 1.5 * sum(length >= 100 for script in short for length in _absences(script))
