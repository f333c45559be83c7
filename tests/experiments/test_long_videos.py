"""Shared encoding is the predictor's tracking, and a run goes on where it was stopped."""

import dataclasses
import json
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.chosen_text_bank import open_bank
from experiments.sam2s import long_report, long_tables
from experiments.sam2s.long_data import LongOptions
from experiments.sam2s.long_run import LongRun, load_all
from experiments.sam2s.long_tracking import SlotPrompt, _rewritten, parse_policies
from surgjax.checkpoints import save_params, save_safetensors
from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.prompting import first_prompt
from surgjax.evaluation.shares import Share
from surgjax.inference import VideoPredictor
from surgjax.inference.frames import SequenceSource, resize_for_model
from surgjax.models.sam2 import add_semantic_token, init_params
from surgjax.models.trained_bank import trained_bank
from surgjax.models.variants import get_config
from surgjax.ops.masks import resize_logits
from tests.data import prepared

MEMORY = "recent,divemem:gamma=-1;delta=2;presence=false,frame_pruning"
_BARE = get_config("debug")
CONFIG = _BARE.replace(semantic_token=True)


def _present(seed=0):
    """Random weights that see every object, so that masks are not all empty."""
    params, _ = add_semantic_token(init_params(_BARE, seed), _BARE)
    head = params["sam_mask_decoder"]["pred_obj_score_head"]
    last = head[sorted(head)[-1]]
    last["bias"] = np.full_like(last["bias"], 5.0)
    return params


def _square(labels, frame, object_id, top, left):
    labels[frame, top : top + 16, left : left + 16] = object_id


def _video(name, seed=0):
    """Object 1 from frame 0, out of sight for frames 4 to 6; object 2 from frame 3."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((12, 48, 64), np.uint8)
    for t in range(12):
        if not 4 <= t < 7:
            _square(labels, t, 1, 4, 2 * t)
        if t >= 3:
            _square(labels, t, 2, 28, 40 - t)
    frames = rng.integers(0, 60, (12, 48, 64, 3), np.uint8) + 90 * labels[..., None]
    return prepared.Video(name, frames, labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    videos = [_video(f"v{k}", k) for k in range(3)]
    prepared.write_set(str(folder), "squares", {"test": videos})
    for seed in (0, 1):
        save_params(folder / f"seed{seed}", _present(seed), CONFIG)
    return folder


def _options(folder, **changes):
    seeds = tuple(str(folder / f"seed{seed}") for seed in (0, 1))
    options = LongOptions(seeds, MEMORY, str(folder), "squares")
    return dataclasses.replace(options, **changes)


_TRACKERS = {}  # compiled once for all runs of this file


def _tables(options, output, bank=None, class_gate=0.0):
    run = LongRun.open(options, output, bank)
    said = []
    run.track(said.append, _TRACKERS)
    report = long_tables.summarise(run, 3, class_gate)
    return long_report.write_report(output, report), said


@pytest.fixture(scope="module")
def tracker(data, tmp_path_factory):
    run = LongRun.open(_options(data), tmp_path_factory.mktemp("none"))
    return run.tracker(run.weights[0], lambda text: None, _TRACKERS)


@pytest.mark.parametrize("kind", ["3-click", "box", "mask"])
def test_every_policy_tracks_as_its_predictor(tracker, kind):
    video = _video("v")
    source, ids, starts = SequenceSource(video.frames_u8), (1, 2), {0: 0, 1: 3}
    tracker.set_params(_present())
    tracker.kind = kind

    def target(slot, t):
        return video.label_maps[t] == ids[slot], None

    tracked = {one.frame: one.outputs for one in tracker.track(source, starts, target)}
    assert sorted(tracked) == list(range(12))
    for spec in parse_policies(MEMORY if kind == "3-click" else "recent"):
        predictor = VideoPredictor(
            _present(), CONFIG, memory=spec.name, memory_options=spec.options
        )
        # The same two programs, so that they are compiled once.
        predictor.programs.compiled |= tracker.programs["recent"].compiled
        predictor.programs.compiled |= tracker.programs[spec.label].compiled
        for t, logits in _predicted(predictor, video, ids, starts, kind):
            low = np.asarray(tracked[t][spec.label].low_res)
            for slot, start in starts.items():
                if t >= start:
                    _close(low[slot], logits[slot, 0])


def _predicted(predictor, video, ids, starts, kind):
    """(frame, logits) of the predictor, prompted by the protocol."""
    tracking = OurSegmenter(predictor).open(video.frames_u8)
    for slot, start in starts.items():
        first_prompt(
            kind,
            video.label_maps[start] == ids[slot],
            lambda prompt, f=start, s=slot: tracking.prompt(f, ids[s], prompt),
        )
    for t, _, logits in predictor.propagate_in_video(tracking.state, 0):
        yield t, logits
    tracking.close()


def _close(low_res, logits):
    found = resize_logits(low_res, logits.shape)
    assert np.abs(found).max() > 1e-3
    np.testing.assert_allclose(found, logits, atol=2e-3, rtol=2e-3)


def test_policies_differ_and_programs_outlive_weights(tracker):
    video = _video("v")
    source = SequenceSource(video.frames_u8)
    tracker.kind = "3-click"

    def last(seed):
        tracker.set_params(_present(seed))
        target = lambda slot, t: (video.label_maps[t] == 1, None)  # noqa: E731
        every = list(tracker.track(source, {0: 0}, target))
        return [np.asarray(one.low_res[0]) for one in every[-1].outputs.values()]

    recent, divemem, pruned = last(0)
    assert np.abs(recent - divemem).max() > 0 and np.abs(recent - pruned).max() > 0
    seconds = tracker.compile_seconds
    assert np.abs(recent - last(1)[0]).max() > 0
    assert tracker.compile_seconds == seconds


def test_a_bank_written_again_is_the_bank_and_the_iou_decides(tracker):
    video, programs = _video("v"), tracker.programs[MEMORY.split(",")[1]]
    tracker.set_params(_present())
    state, rewrite = (
        programs.stream.init_state(tracker.slots, 12),
        jax.jit(_rewritten, static_argnums=0),
    )
    blank = programs.blank_prompts(tracker.slots, tracker.points)
    box = SlotPrompt(np.array([[2.0, 4.0], [18.0, 20.0]]), np.array([2, 3]))
    refused = jax.tree.map(jnp.copy, state.bank)  # a step uses its state up
    for t in range(5):
        features = programs.encode(resize_for_model(video.frames_u8[t], CONFIG.image_size))
        prompts = blank if t else tracker._padded({0: box, 2: box}, blank)
        before = jax.tree.map(jnp.copy, state)
        state, output = programs.track(state, features, prompts)
        args = (programs.stream, before, output, prompts)
        chex.assert_trees_all_close(rewrite(*args, output.iou), state.bank, atol=1e-6)
        refused = rewrite(programs.stream, before.replace(bank=refused), *args[2:], output.iou - 9)
    assert np.asarray(state.bank.chosen).tolist() == [2, 0, 2, 0]  # of four candidates, in twos
    assert not np.asarray(refused.chosen).any() and not np.asarray(refused.count).any()


def test_what_is_written_again_is_what_is_read(tracker, monkeypatch):
    video, told = _video("v"), []

    def forgotten(stream, before, output, prompts, ious):
        told.append(ious)
        return before.bank

    monkeypatch.setattr(tracker, "truth", {"recent"})
    monkeypatch.setattr(tracker, "_rewrite", forgotten)
    target = lambda slot, t: (video.label_maps[t] == 1, None)  # noqa: E731
    every = list(tracker.track(SequenceSource(video.frames_u8), {0: 0}, target))
    assert len(told) == len(every) == 12 and told[0].shape == (tracker.slots,)
    ran = {label: bool(one.ran[0]) for label, one in every[-1].outputs.items()}
    assert ran == {label: label != "recent" for label in tracker.programs}


def test_true_ious_by_hand(tracker):
    low_res = np.full((tracker.slots, 2, 2), -1.0, np.float32)
    low_res[0, 0], low_res[1] = 1, 1  # the upper half; everything
    left = np.array([[1, 0], [1, 0]], bool)
    ignored = np.array([[0, 1], [0, 0]], bool)
    target = lambda slot, t: (left, ignored if slot == 0 else None)  # noqa: E731
    found = tracker._true_ious(SimpleNamespace(low_res=low_res), 5, {0: 0, 1: 5, 2: 6}, target)
    assert found.tolist()[:3] == [0.5, 0.5, 0]  # 1 of 2 where known, 2 of 4, not prompted yet
    nothing = lambda slot, t: (np.zeros((2, 2), bool), None)  # noqa: E731
    assert not tracker._true_ious(SimpleNamespace(low_res=-(low_res**2)), 5, {0: 0}, nothing).any()


def test_a_gate_is_one_of_two():
    one, two = parse_policies("divemem:gate=truth,divemem")
    assert one.stated == two.stated + " with true IoUs" and one.label == "divemem:gate=truth"
    with pytest.raises(ValueError, match="gate=god: predicted or truth"):
        parse_policies("divemem:gate=god")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    return output, _tables(_options(data), output)


def test_an_interrupted_run_goes_on_to_the_same_tables(data, whole, tmp_path):
    output, (table, _) = whole
    part = tmp_path / "part"
    LongRun.open(_options(data, share=Share(0, 2)), part).track(lambda text: None, _TRACKERS)
    (folder,) = (part / "rows").glob("seed0-*")
    (folder / "recent" / "v0.json").unlink()  # one policy of one video
    assert len(list(part.rglob("*.json"))) == 3 * 3 - 1
    again, said = _tables(_options(data), part)
    assert again == table and said[0] == "8 videos are there already, 4 to track"
    ours, theirs = (json.loads((o / "report.json").read_text()) for o in (part, output))
    assert ours == theirs
    assert _tables(_options(data), part)[1] == ["18 videos are there already, 0 to track"]


def test_the_report_has_every_object_and_draws_a_chart(whole):
    output, (table, _) = whole
    report = json.loads((output / "report.json").read_text())
    assert len(report["objects"]) == 2 * 3 * 3 * 2  # weights, policies, videos, objects
    assert report["samples"]["JF"] == 2 * 3 * 2
    assert report["samples"]["after return"] == 2 * 3  # of the object that is away for 3 frames
    one = next(row for row in report["objects"] if row["object"] == 2)
    assert (one["prompt_frame"], one["frames"], one["in_sight"]) == (3, 8, 8)
    by_seed = [report["scores_by_weights"][f"seed{s}"]["recent"]["JF"] for s in (0, 1)]
    assert report["scores"]["recent"]["JF"] == pytest.approx(np.mean(by_seed))
    assert {row["baseline"] for row in report["differences"]} == {"recent"}
    assert "seed0" in table and "Policy less `recent`" in table
    svg = (output / "horizons.svg").read_text()
    assert svg.startswith("<svg") and svg.count("<title>") == 3  # 12 frames: the first horizon only


def test_rows_of_other_settings_are_refused(data, whole):
    output, _ = whole
    with pytest.raises(ValueError, match="rows of other settings"):
        LongRun.open(_options(data, prompt="box"), output)


def _export(folder, seed):
    folder.mkdir(parents=True)
    save_safetensors(folder / "model.safetensors", _present(seed), CONFIG)


def test_weights_go_by_their_run_and_rows_stay_where_they_are(data, tmp_path):
    for run, seed in (("a", 0), ("b", 1)):
        _export(tmp_path / run / "export", seed)
    _export(tmp_path / "c" / "a-export", 2)
    paths = [str(tmp_path / each) for each in ("a/export", "b/export", "c/a-export")]
    two = load_all(_options(data, checkpoints=tuple(paths[:2])))
    assert [w.label for w in two] == ["a-export", "b-export"]
    three = load_all(_options(data, checkpoints=tuple(paths)))
    assert three[0].label == f"a-export-{three[0].sha256[:8]}" != three[2].label
    folders = [w.folder for w in three]
    assert [w.folder for w in two] == folders[:2] and len(set(folders)) == 3


def test_a_tracker_is_of_one_precision_and_its_labels(data, tmp_path):
    found = {}

    def add(**changes):
        run = LongRun.open(_options(data, **changes), tmp_path)
        return run.tracker(run.weights[0], lambda text: None, found)

    first = add(memory="random_long:delta=30")
    assert add(memory="random_long:delta=30") is first
    assert add(memory="random_long:delta=30", precision="bf16") is not first
    plain = parse_policies("random_long")[0].options.delta
    assert plain != 30
    named = add(memory=f"random_long:delta={plain}")
    assert list(add(memory="random_long").programs) == ["random_long"] != list(named.programs)


def test_what_is_asked_for_must_exist(data, tmp_path):
    for changes, message in (
        ({"memory": "recent,recent"}, "each of them once"),
        ({"memory": "recent:delta=3"}, "delta: not known"),
        ({"memory": "latest"}, "memory 'latest'"),
        ({"prompt": "words"}, "prompt 'words'"),
        ({"data": ""}, "--data"),
        ({"split": "train"}, "no split 'train'"),
        ({"checkpoints": (str(data / "seed0"),) * 2}, "each once"),
    ):
        with pytest.raises(ValueError, match=message):
            LongRun.open(_options(data, **changes), tmp_path)
    with pytest.raises(ValueError, match="no video is finished"):
        long_tables.summarise(LongRun.open(_options(data), tmp_path))


def test_a_semantic_token_says_what_objects_are(data, tmp_path):
    options = _options(data, videos=1)
    bank = open_bank("--text_bank", "fallback:generated")
    first = int(bank.is_instrument.argmax())
    names = [*bank.names[:first], "shaft", *bank.names[first + 1 :]]  # the set's class
    named = dataclasses.replace(bank, names=tuple(names))
    other = dataclasses.replace(CONFIG, text_bank=trained_bank(named))
    save_params(tmp_path / "trained", _present(), other)
    known = dataclasses.replace(options, checkpoints=(str(tmp_path / "trained"),))
    with pytest.raises(ValueError, match="the weights were trained with"):
        LongRun.open(known, tmp_path / "none", bank)
    table, _ = _tables(options, tmp_path / "out", named, class_gate=0.5)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["classes"]["uniform"] == pytest.approx(1 / report["classes"]["classes"])
    assert report["classes"]["majority per frame"] == 1.0  # both objects are shafts
    assert report["samples"]["class per frame"] == 2 * (8 + 8)  # both seeds
    assert 0 <= report["scores"]["recent"]["class per frame"] <= 1
    assert "What an object is" in table
    # Random weights are never sure of a class, so the gate is always shut.
    shut = report["scores"]["recent, class gate"]
    assert (shut["missed"], shut["false alarms"], shut["JF in sight"]) == (1, 0, 0)
