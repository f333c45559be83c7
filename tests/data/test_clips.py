"""Batches: what is in them, the same whoever prepares them, and ready for the training step."""

import dataclasses
import os
import shutil

import cv2
import jax
import numpy as np
import pytest

from surgjax.data import augment, clips
from surgjax.data.clips import ClipBatch, expand_masks, is_ignored, open_clips
from surgjax.data.mixture import MixtureEntry
from surgjax.data.prefetch import DevicePrefetch, put_batch, put_clips
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from surgjax.models import sam2, variants
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions
from tests.data import prepared

SAMPLER = ClipSampler(frames=4, objects=2, p_reverse=0.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    data_dir = str(tmp_path_factory.mktemp("sets"))
    videos = [prepared.synthetic_video(seed, 7, 48) for seed in range(3)]
    sparse = prepared.moving_square("sparse", 9)
    sparse.annotated = (0, 2, 5, 8)
    image = prepared.synthetic_video(9, 1, 64, names={1: "tissue"})
    return [
        prepared.write_set(data_dir, "videos", {"train": [*videos, sparse]}),
        prepared.write_set(
            data_dir, "images", {"train": [image]}, image_format="jpeg", id_dtype=np.uint16
        ),
    ]


def entries(folders, sampler=SAMPLER):
    return [MixtureEntry(PreparedSet(folder), "train", sampler) for folder in folders]


def opened(folders, sampler=SAMPLER, **changes):
    settings = dict(batch_size=4, size=32, seed=5, process_index=0, process_count=1) | changes
    return open_clips(entries(folders, sampler), **settings)


def take(batches, count):
    with batches:
        return [next(batches) for _ in range(count)]


def assert_same(first: ClipBatch, second: ClipBatch):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_shapes_and_meaning(folders):
    batches = opened(folders, augment_config=augment.NO_AUGMENT)
    sets = {entry.prepared.name: entry.prepared for entry in batches.loader.mixture.entries}
    loaded = take(batches, 6)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype.name), loaded[0].clips)
    assert shapes == ClipBatch(
        frames_u8=((4, 4, 32, 32, 3), "uint8"),
        label_maps=((4, 4, 32, 32), "uint8"),
        object_valid=((4, 2), "bool"),
        visible=((4, 4, 2), "bool"),
        is_annotated=((4, 4), "bool"),
        is_long=((4, 4), "bool"),
        is_reversed=((4,), "bool"),
        frame_index=((4, 4), "int32"),
        time_s=((4, 4), "float32"),
        category=((4, 2), "int32"),
        set_index=((4,), "int32"),
    )
    kinds = set()
    for batch in loaded:
        for row, source in enumerate(batch.sources):
            made = sets[source.set_name]
            entry = next(v for v in made.index.splits["train"] if v.video_id == source.video_id)
            kinds.add((source.set_name, source.video_id == "sparse"))
            one = jax.tree.map(lambda x, row=row: x[row], batch.clips)
            steps = np.maximum(np.abs(np.diff(source.positions)), 1)
            assert np.diff(one.frame_index).tolist() == steps.tolist() and one.frame_index[0] == 0
            fps = 5.0 if source.set_name == "videos" else np.inf
            np.testing.assert_allclose(one.time_s, one.frame_index / fps, rtol=1e-6)
            assert one.object_valid.tolist() == [k < len(source.object_ids) for k in range(2)]
            want = ["tissue" if source.set_name == "images" and i == 1 else "shaft"
                    for i in source.object_ids]  # fmt: skip
            found = [batches.categories[c] for c in one.category if c >= 0]
            assert found == want and len(found) == one.object_valid.sum()
            images, maps, _ = made.read_frames("train", entry, source.positions, [True] * 4)
            for t in range(4):
                resized = cv2.resize(images[t], (32, 32), interpolation=cv2.INTER_AREA)
                close = np.abs(resized.astype(int) - one.frames_u8[t]).mean()
                assert close < 12 and bool(one.is_annotated[t]) == (
                    source.video_id != "sparse" or source.positions[t] in (0, 2, 5, 8)
                )
                if not one.is_annotated[t]:
                    assert (one.label_maps[t] == 255).all() and not one.visible[t].any()
                    continue
                for slot, object_id in enumerate(source.object_ids):
                    share = (maps[t] == object_id).mean()
                    assert abs((one.label_maps[t] == slot + 1).mean() - share) < 0.03
                    assert one.visible[t, slot] == (one.label_maps[t] == slot + 1).any()
    assert kinds == {("videos", False), ("videos", True), ("images", False)}


def test_classes_of_instruments_are_rows_of_a_bank_by_set(folders):
    rows = {"videos": {"shaft": 3}, "images": {"shaft": 1, "tissue": 0}}
    seen, sets = set(), entries(folders)
    for entry in sets:
        for video in entry.prepared.index.splits["train"]:
            items = [dataclasses.replace(o, is_instrument=o.category == "shaft")
                     for o in video.objects]  # fmt: skip
            object.__setattr__(video, "objects", tuple(items))
    batches = open_clips(
        sets, batch_size=4, size=32, seed=5, process_index=0, process_count=1, classes=rows
    )
    for batch in take(batches, 4):
        for row, source in enumerate(batch.sources):
            named = batch.clips.category[row]
            for slot, row_of_bank in enumerate(batch.clips.object_class[row]):
                name = batches.categories[named[slot]] if named[slot] >= 0 else None
                # Tissue has no row, whatever a bank calls it; nor has an empty slot.
                want = rows[source.set_name]["shaft"] if name == "shaft" else -1
                assert row_of_bank == want
                seen.add((source.set_name, name))
    assert {("videos", "shaft"), ("images", "tissue")} <= seen
    with pytest.raises(ValueError, match="classes: none for the sets .'images'"):
        opened(folders, classes={"videos": {}})


def test_a_clip_of_8_frames_decodes_8_images_and_8_maps(tmp_path, monkeypatch):
    video = prepared.moving_square("long", 40, 512, 512)
    folder = prepared.write_set(str(tmp_path), "wide", {"train": [video]}, image_format="jpeg")
    calls = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *a: calls.append(1) or decode(*a))
    loader = opened([folder], ClipSampler(frames=8, objects=1), batch_size=1, size=512).loader
    prepared_set = loader.mixture.entries[0].prepared
    for number in (0, 1):
        prepared_set.decoded = type(prepared_set.decoded)()
        calls.clear()
        example = loader.example(number)
        assert example.arrays["frames_u8"].shape == (8, 512, 512, 3)
        assert (prepared_set.decoded.images, prepared_set.decoded.maps) == (8, 8)
        assert len(calls) == 16


def test_an_image_is_decoded_once(folders):
    loader = opened(folders[1:]).loader
    arrays = loader.example(0).arrays
    decoded = loader.mixture.entries[0].prepared.decoded
    assert (decoded.images, decoded.maps) == (1, 1)
    assert arrays["frame_index"].tolist() == [0, 1, 2, 3] and not arrays["time_s"].any()


def test_order_depends_on_seed_and_step_alone(folders):
    want = take(opened(folders), 5)
    for changes in (dict(threads=1), dict(threads=4, prefetch=3)):
        for first, second in zip(want, take(opened(folders, **changes), 5), strict=True):
            assert first.sources == second.sources
            assert_same(first.clips, second.clips)
    other = take(opened(folders, seed=6), 1)[0]
    assert not np.array_equal(other.clips.frames_u8, want[0].clips.frames_u8)


def test_resumes_at_its_step(folders):
    want = take(opened(folders), 5)
    again = take(opened(folders, start_step=3), 2)
    assert [batch.step for batch in again] == [3, 4]
    for first, second in zip(want[3:], again, strict=True):
        assert first.sources == second.sources
        assert_same(first.clips, second.clips)


def test_two_processes_make_the_batches_of_one(folders):
    want = take(opened(folders), 3)
    halves = [take(opened(folders, process_index=p, process_count=2), 3) for p in range(2)]
    for whole, left, right in zip(want, *halves, strict=True):
        both = jax.tree.map(lambda *x: np.concatenate(x), left.clips, right.clips)
        assert_same(whole.clips, both)
        assert whole.sources == left.sources + right.sources


def test_masks_open_on_the_device():
    labels = np.array([[[0, 1], [2, 255]]], np.uint8)
    masks = jax.jit(expand_masks, static_argnums=1)(labels, 3)
    assert masks.shape == (1, 3, 2, 2) and masks.dtype == bool
    assert np.asarray(masks[0]).tolist() == [
        [[False, True], [False, False]],
        [[False, False], [True, False]],
        [[False, False], [False, False]],
    ]
    assert np.asarray(is_ignored(labels)).tolist() == [[[False, False], [False, True]]]


def test_the_training_step_takes_it(folders):
    config = variants.get_config("debug")
    sampler = ClipSampler(frames=2, objects=2)
    batch = take(opened(folders, sampler, size=config.image_size), 1)[0].clips

    def loss(params, batch, key):
        options = PromptOptions(loss_size=16)
        return promptable.clip_loss(sam2.Sam2(config), params, batch, key, options)

    key = jax.eval_shape(lambda: jax.random.key(0))
    value, metrics = jax.eval_shape(loss, sam2.abstract_params(config), batch, key)
    assert value.shape == () and metrics["tracked_iou"].shape == ()


def test_prefetch_hands_on_the_same_batches_on_the_device(folders):
    want = take(opened(folders), 3)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    for place in (None, sharding):
        with DevicePrefetch(opened(folders), put_clips(place)) as ready:
            for batch in want:
                found = next(ready)
                assert (found.step, found.sources) == (batch.step, batch.sources)
                assert isinstance(found.clips.frames_u8, jax.Array)
                assert place is None or found.clips.frames_u8.sharding == place
                assert_same(found.clips, batch.clips)
        with pytest.raises(StopIteration):
            next(ready)


def test_prefetch_raises_what_its_source_raises():
    batch = put_batch(ClipBatch(*np.zeros((11, 2, 2), np.float32)))

    def source():
        yield clips.LoadedBatch(0, batch, ())
        raise RuntimeError("disk on fire")

    with DevicePrefetch(source()) as ready:
        assert next(ready).step == 0
        with pytest.raises(RuntimeError, match="disk on fire"):
            next(ready)
    ended = DevicePrefetch(iter([clips.LoadedBatch(0, batch, ())]))
    assert [item.step for item in ended] == [0]
    with pytest.raises(ValueError, match="ahead must be 1 or more"):
        DevicePrefetch(iter([]), ahead=0)


def test_what_a_reading_thread_raises_reaches_the_caller(folders, tmp_path):
    spoilt = shutil.copytree(folders[0], tmp_path / "spoilt")
    os.remove(spoilt / "videos-train.array_record-00001-of-00004")
    with opened([str(spoilt)]) as batches, pytest.raises(ValueError, match="00001-of-00004"):
        for _ in range(4):
            next(batches)


def test_an_object_that_vanishes_is_not_valid(tmp_path):
    speck = prepared.moving_square("speck", 4, 256, 256)
    speck.label_maps[:] = 0
    speck.label_maps[:, 3, 3] = 1  # nearest resampling to 32 pixels takes every eighth: 4, 12, ..
    folder = prepared.write_set(str(tmp_path), "specks", {"train": [speck]})
    batch = take(opened([folder], augment_config=augment.NO_AUGMENT), 1)[0].clips
    assert not batch.object_valid.any() and not batch.visible.any() and batch.is_annotated.all()


def test_objects_that_the_maps_cannot_hold_are_refused(tmp_path):
    folder = prepared.write_set(str(tmp_path), "set", {"train": [prepared.moving_square("a", 4)]})
    path = os.path.join(folder, "clips.json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"objects":[{"id":1,', '"objects":[{"id":255,'))
    message = "a: object 255 of the index cannot be a value of uint8 maps, whose objects are 1..254"
    with opened([folder]) as batches, pytest.raises(ValueError, match=message):
        next(batches)


def test_settings_that_do_not_fit_are_refused(folders):
    with pytest.raises(ValueError, match="size must be 16 or more, found 8"):
        opened(folders, size=8)
    with pytest.raises(ValueError, match="start_step must be 0 or more, found -1"):
        opened(folders, start_step=-1)
    with pytest.raises(ValueError, match="multiple of the 3 processes, found 4"):
        opened(folders, process_index=0, process_count=3)
    uneven = entries(folders)
    uneven[1] = dataclasses.replace(uneven[1], sampler=ClipSampler(frames=5, objects=2))
    with pytest.raises(ValueError, match=r"same \(frames, objects\), found \[\(4, 2\), \(5, 2\)\]"):
        open_clips(uneven, batch_size=4, size=32, seed=0)


@pytest.mark.parametrize(
    "positions, times, expected",
    [
        ([4, 5, 6], [0.8, 1.0, 7.0], [0, 0.2, 6.2]),  # a gap in the source video
        ([6, 5, 4], [7.0, 1.0, 0.8], [0, 6.0, 6.2]),
        ([1, 1, 0], [0.2, 0.2, 0.0], [0, 0.2, 0.4]),  # shown again: a frame later
    ],
)
def test_seconds_travelled_follow_the_source_video(positions, times, expected):
    found = clips._travelled_seconds(np.array(positions), np.array(times), fps=5.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    still = clips._travelled_seconds(np.zeros(3, int), np.zeros(3), fps=0.0)
    assert not still.any()
