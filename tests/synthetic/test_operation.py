"""The stage: tools are at their organ while they work, jaws open, organs follow a pull."""

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, SceneConfig, generate_clip, instruments, operation
from surgjax.synthetic.depth import _tip
from surgjax.synthetic.instruments import Pose, repose

SIDE = 128
STILL = PRESETS["surgery"].replace(p_cut=0.0, view_frames=(0, 0))


def _stage(seed, frames=60, config=STILL):
    rng = np.random.default_rng(seed)
    carry = np.broadcast_to(np.eye(3), (frames, 3, 3))
    return operation.set_stage(rng, frames, SIDE, config, carry)


def test_a_working_tip_is_at_its_organ():
    gaps = []
    for seed in range(8):
        stage = _stage(seed)
        by_tool = dict(zip(stage.tools, stage.objects, strict=True))
        organs = {thing.name: thing for thing in stage.objects if thing.kind == "anatomy"}
        for act in stage.script.acts:
            middle = (act.first + act.last) // 2
            if not 0 <= middle < 60:
                continue
            organ = organs[act.target].pieces[0]
            rows, columns = np.nonzero(organ.sprite.alpha > 127)
            points = np.stack([columns, rows, np.ones(len(rows))], -1) @ organ.matrices[middle].T
            tip = _tip(by_tool[act.tool], middle)
            gaps.append(np.linalg.norm(points[:, :2] - tip, axis=1).min() / SIDE)
    assert len(gaps) >= 12
    assert np.median(gaps) < 0.03 and np.percentile(gaps, 90) < 0.12


def test_a_pulled_organ_moves_and_the_tool_with_it():
    moved = []
    for seed in range(10):
        stage = _stage(seed, 90)
        things = dict(zip(stage.tools, stage.objects, strict=True))
        for act in stage.script.acts:
            if act.verb != "retract" or act.first < 0 or act.last >= 90:
                continue
            organ = next(thing for thing in stage.objects if thing.name == act.target)
            middle = (act.first + act.last) // 2
            place = organ.pieces[0].matrices[:, :2, :] @ (
                organ.pieces[0].sprite.alpha.shape[1] / 2,
                organ.pieces[0].sprite.alpha.shape[0] / 2,
                1,
            )
            pulled = place[middle] - place[act.first]
            tool = _tip(things[act.tool], middle) - _tip(things[act.tool], act.first)
            moved.append((np.linalg.norm(pulled), np.linalg.norm(tool - pulled)))
    moved = np.array(moved)
    assert len(moved) >= 5
    assert np.median(moved[:, 0]) > 0.02 * SIDE
    assert np.median(moved[:, 1]) < 0.6 * np.median(moved[:, 0])


def test_scissors_open_and_close_while_they_cut():
    config = STILL.replace(favourite_kinds=("scissors",), favour=50.0)
    ranges = []
    for seed in range(12):
        stage = _stage(seed, 80, config)
        things = dict(zip(stage.tools, stage.objects, strict=True))
        for act in stage.script.acts:
            if act.verb == "cut" and act.first >= 0 and act.last < 80:
                pose = things[act.tool].pose
                ranges.append(np.ptp(pose.opening[act.first : act.last + 1]))
    assert len(ranges) >= 2 and min(ranges) > 0.3


def test_outside_the_body_nothing_of_a_tool_can_be_seen():
    for seed in range(4):
        clip = generate_clip(seed, 60, 64, PRESETS["surgery"].replace(p_leave=0.5))
        assert not (clip.visible & ~clip.in_body).any()


def test_tools_cross_leave_and_come_back():
    """Over a few operations tools overlap each other, go out of sight and return."""
    crossed = returned = 0
    for seed in range(8):
        clip = generate_clip(seed, 100, 64, PRESETS["surgery"], truth=("amodal",))
        tools = [i for i, kind in enumerate(clip.object_classes) if kind in instruments.jaws.KINDS]
        for a in tools:
            for b in tools:
                crossed += a < b and (clip.amodal_masks[:, a] & clip.amodal_masks[:, b]).any()
        for index in tools:
            shown = np.flatnonzero(clip.visible[:, index])
            returned += len(shown) > 0 and len(shown) < shown[-1] - shown[0] + 1
    assert crossed >= 3 and returned >= 3


def test_at_least_seven_kinds_of_instruments_appear():
    kinds = set()
    for seed in range(12):
        kinds |= set(generate_clip(seed, 1, 64, PRESETS["surgery"]).object_classes)
        script = _stage(seed, 300).script
        kinds |= {tool.kind for tool in script.tools}
    assert len(kinds & set(instruments.jaws.KINDS)) >= 8


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_operations_show_something(frames):
    for seed in range(4):
        clip = generate_clip(seed, frames, 64, PRESETS["surgery"], truth=("depth", "flow"))
        assert len(clip.object_ids) >= 2
        assert clip.flow_px.shape == (frames - 1, 64, 64, 2)
        assert (clip.phase_ids >= 0).all()


def test_a_pose_turns_every_piece_about_its_hinge():
    rng = np.random.default_rng(0)
    thing = instruments.instrument(rng, 1, SIDE, SceneConfig(p_no_wrist=0.0), kind="grasper")
    before = [piece.matrices[0] for piece in thing.pieces]
    old = thing.pose
    repose(thing, old)  # the pose it has: nothing moves
    for piece, matrix in zip(thing.pieces, before, strict=True):
        np.testing.assert_allclose(piece.matrices[0], matrix, atol=1e-9)
    one = np.ones(1)
    pose = Pose(old.at_xy + (5, -7), old.theta, old.angle, old.yaw, old.opening, one, old.hub)
    thing.pose = Pose(old.at_xy, old.theta, old.angle, old.yaw, old.opening, one, old.hub)
    repose(thing, pose)  # a shift moves all alike
    for piece, matrix in zip(thing.pieces, before, strict=True):
        shift = np.array([[1, 0, 5], [0, 1, -7], [0, 0, 1]]) @ matrix
        np.testing.assert_allclose(piece.matrices[0], shift, atol=1e-6)


def test_an_organ_has_no_pose():
    organ = _stage(0, 2).objects[0]
    with pytest.raises(ValueError, match="no instrument"):
        repose(organ, None)


def test_views_need_an_operation():
    with pytest.raises(ValueError, match="operation=True"):
        SceneConfig(view_frames=(10, 20))
