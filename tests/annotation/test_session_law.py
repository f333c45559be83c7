"""What a session shows as up to date is what `experiments.track` writes for its prompts."""

import random

import numpy as np
import pytest

from surgjax.annotation.errors import EditError
from surgjax.inference import VideoPredictor
from surgjax.testing import debug_config, lively_params
from tests.annotation.small import FRAMES, HEIGHT, WIDTH, finish, open_session, tracked


def shown(session):
    return {t: session.masks(t)[0] for t in range(FRAMES)}


def differing(a, b):
    return [t for t in range(FRAMES) if not np.array_equal(a[t], b[t])]


def all_fresh(session):
    lines = session.timeline()["objects"].values()
    return all(line["fresh"] == [0, FRAMES - 1] for line in lines if line["fresh"])


def is_lively(masks):
    """Objects are there and do not stand still: otherwise equal masks would mean little."""
    return len({m.tobytes() for m in masks.values()}) > FRAMES // 2


def session_by_hand(session):
    """Prompts, tracking, corrections on both sides, a second object, an undo, a brush."""
    one = session.add_point(None, 6, 20, 20, 1)
    finish(session.track("both"))
    session.add_point(one, 12, 26, 22, 1)
    session.add_point(one, 12, 40, 10, 0)
    session.set_box(one, 3, [8, 6, 30, 36])
    finish(session.track("back"))
    two = session.add_point(None, 9, 60, 30, 1)
    session.add_point(two, 9, 61, 40, 0)
    finish(session.track("forward", 4))
    session.set_box(one, 15, [5, 5, 33, 40])  # on a frame that is out of date or never tracked
    session.paint(one, 16, [[20, 20], [30, 24]], 4, False)
    session.undo()
    session.paint(two, 11, [[60, 30]], 5, False)
    session.paint(two, 11, [[58, 30]], 2, True)


def test_a_whole_session_equals_track(predictor, video, tmp_path):
    session = open_session(predictor, video, tmp_path / "out")
    session_by_hand(session)
    while not all_fresh(session):
        finish(session.track("both", 3))
    mine = shown(session)
    result, _ = finish(session.export(["masks"]))
    session.close()
    want = tracked(predictor, video, tmp_path / "out/prompts.json", tmp_path / "run", "both")
    assert is_lively(want) and differing(mine, want) == []
    exported = tmp_path / "out/export/masks"
    assert result["folder"] == str(exported.parent) and result["stale"] == {}
    for t in range(FRAMES):  # to the byte: the same palette
        name = f"{t:05d}.png"
        assert (exported / name).read_bytes() == (tmp_path / "run/masks" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "options", "precision"),
    [
        ("recent", "", "bf16"),
        ("divemem", "delta=1,gamma=-1000,presence=false", "fp32"),
        ("dlm", "", "fp32"),
        ("frame_pruning", "", "fp32"),
        ("pooled", "", "fp32"),
    ],
)
def test_with_every_memory_and_in_half_precision(video, tmp_path, memory, options, precision):
    config = debug_config()
    other = VideoPredictor(
        lively_params(config),
        config,
        precision,
        memory=memory,
        memory_options=options,
        keep_records=False,
    )
    session = open_session(other, video, tmp_path / "out", memory=f"{memory} {options}")
    session_by_hand(session)
    while not all_fresh(session):
        finish(session.track("both", 3))
    mine = shown(session)
    session.close()
    want = tracked(other, video, tmp_path / "out/prompts.json", tmp_path / "run", "both")
    assert is_lively(want) and differing(mine, want) == []


def test_forward_alone_equals_track_forward(predictor, video, tmp_path):
    session = open_session(predictor, video, tmp_path / "out")
    one = session.set_box(None, 4, [5, 5, 30, 40])
    finish(session.track("forward"))
    session.add_point(one, 10, 40, 10, 0)
    finish(session.track("forward"))
    mine = shown(session)
    session.close()
    prompts = tmp_path / "out/prompts.json"
    want = tracked(predictor, video, prompts, tmp_path / "run", "forward")
    assert is_lively(want) and differing(mine, want) == []
    both = tracked(predictor, video, prompts, tmp_path / "both", "both")
    assert differing(mine, both)  # the way back is another thing


def random_edit(session, draw):
    """Something an annotator may do, sensible or not."""
    ids = [o["id"] for o in session.describe()["objects"]]
    frame, x, y = draw.randrange(FRAMES), draw.randrange(WIDTH - 12), draw.randrange(HEIGHT - 12)
    target = draw.choice([*ids, None]) if len(ids) < 3 else draw.choice(ids)
    kind = draw.choice(["point", "point", "point", "negative", "box", "paint", "track", "track",
                        "clear", "undo", "undo", "redo", "remove"])  # fmt: skip
    match kind:
        case "point":
            session.add_point(target, frame, x, y, 1)
        case "negative":
            session.add_point(target, frame, x, y, 0)
        case "box":
            session.set_box(target, frame, [x, y, x + 11, y + 9])
        case "paint":
            session.paint(target, frame, [[x, y], [x + 9, y + 4]], 4, draw.random() < 0.3)
        case "track":
            steps = session.track(draw.choice(["forward", "back", "both"]), draw.choice([None, 5]))
            for count, _ in enumerate(steps, 1):
                if count == draw.choice([3, 100]):
                    steps.close()  # cancelled
                    break
        case "clear":
            item = draw.choice(session.document)
            session.clear_prompts(item.object_id, draw.choice(list(item.marks) or [0]))
        case "undo":
            session.undo()
        case "redo":
            session.redo()
        case "remove":
            if draw.random() < 0.3:
                session.remove_object(draw.choice(ids))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_done_it_equals_track(predictor, video, tmp_path, seed):
    draw = random.Random(seed)
    session = open_session(predictor, video, tmp_path / "out")
    done = refused = 0
    while done < 40:
        try:
            random_edit(session, draw)
            done += 1
        except (EditError, IndexError):  # of an empty list
            refused += 1
            assert refused < 1000
        if draw.random() < 0.05:  # the server is started again
            before, states = shown(session), [session.masks(t)[1] for t in range(FRAMES)]
            described = {**session.describe(), "revision": 0}
            session.close()
            session = open_session(predictor, video, tmp_path / "out")
            assert {**session.describe(), "revision": 0} == described
            assert differing(before, shown(session)) == []
            assert [session.masks(t)[1] for t in range(FRAMES)] == states
    if not any(item.marks for item in session.document):
        session.set_box(None, 7, [20, 12, 40, 30])
    states = [session.masks(t)[1] for t in range(FRAMES)]
    early = shown(session)
    if not all_fresh(session):
        finish(session.track("both"))
    mine = shown(session)
    session.close()
    want = tracked(predictor, video, tmp_path / "out/prompts.json", tmp_path / "run", "both")
    assert differing(mine, want) == []
    for t in range(FRAMES):  # and what was called up to date before the last tracking was so
        for object_id, about in states[t].items():
            if about["state"] == "fresh" and all(a["state"] == "fresh" for a in states[t].values()):
                assert np.array_equal(early[t] == object_id, want[t] == object_id), (t, object_id)


def test_it_would_be_noticed(predictor, video, tmp_path):
    """The control: a correction that track took for an ordinary prompt gives other masks."""
    session = open_session(predictor, video, tmp_path / "out")
    session_by_hand(session)
    while not all_fresh(session):
        finish(session.track("both"))
    mine = shown(session)
    session.close()
    text = (tmp_path / "out/prompts.json").read_text()
    for number, name in enumerate(("a", "b")):
        changed = text if number else text.replace('"correction": true', '"correction": false')
        (tmp_path / "out" / f"{name}.json").write_text(changed)
    a, b = (
        tracked(predictor, video, tmp_path / f"out/{n}.json", tmp_path / n, "both") for n in "ab"
    )
    assert differing(mine, b) == [] and len(differing(mine, a)) > 3
