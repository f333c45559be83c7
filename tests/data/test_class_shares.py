"""How often a class is drawn: by hand, and as the batches of training have it."""

import dataclasses

import numpy as np
import pytest

from surgjax.data.class_shares import class_row, class_shares
from surgjax.data.clips import open_clips
from surgjax.data.index import ObjectEntry
from surgjax.data.mixture import Mixture, MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from tests.data import prepared

ROWS = {"videos": {"hook": 2, "grasper": 0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five videos of one square: hook, hook, grasper, hook (below: tissue), and an unknown name."""
    names = {"a": "hook", "b": "hook", "c": "grasper", "d": "hook", "e": "tuba"}
    videos = [
        dataclasses.replace(prepared.moving_square(each, 8), names={1: name})
        for each, name in names.items()
    ]
    return prepared.write_set(str(tmp_path_factory.mktemp("s")), "videos", {"train": videos})


def entries(folder, frames=4):
    entry = MixtureEntry(PreparedSet(folder), "train", ClipSampler(frames=frames, objects=2))
    for video in entry.prepared.index.splits["train"]:
        if video.video_id == "d":  # tissue of the name of an instrument
            tissue = [dataclasses.replace(one, is_instrument=False) for one in video.objects]
            object.__setattr__(video, "objects", tuple(tissue))
    return [entry]


def test_shares_are_of_frames_and_what_is_never_drawn_counts_as_the_rarest(folder):
    found = class_shares(Mixture(entries(folder), 3), ROWS, 4, range(25))  # five epochs of five
    # Hook twice, grasper once, rows 1 and 3 never: 1 : 1 : 2 : 1.
    np.testing.assert_allclose(found, np.array([1, 1, 2, 1]) / 5, rtol=1e-6)
    assert found.dtype == np.float32


def test_they_are_those_of_the_batches(folder):
    videos = entries(folder)
    hooks = videos[0].prepared.index.splits["train"][0]
    short = dataclasses.replace(hooks.objects[0], visible=((0, 3),))  # the index decides
    object.__setattr__(hooks, "objects", (short,))
    shares = class_shares(Mixture(videos, 3), ROWS, 3, range(20))
    batches = open_clips(
        videos, batch_size=4, size=32, seed=3, process_index=0, process_count=1,
        classes=ROWS, class_shares=shares,
    )  # fmt: skip
    counted = np.zeros(3)
    with batches:
        for _ in range(5):
            loaded = next(batches)
            np.testing.assert_array_equal(loaded.clips.class_shares, np.tile(shares, (4, 1)))
            for row, source in enumerate(loaded.sources):
                (slot,) = np.flatnonzero(loaded.clips.object_valid[row])
                own = loaded.clips.object_class[row, slot]
                in_sight = [source.video_id != "a" or t < 3 for t in source.positions]
                if own >= 0:
                    counted[own] += sum(in_sight)
    counted[1] = counted[[0, 2]].min()
    np.testing.assert_allclose(shares, counted / counted.sum(), rtol=1e-6)


def test_a_set_without_any_of_them_is_refused(folder):
    with pytest.raises(ValueError, match="no example shows an instrument"):
        class_shares(Mixture(entries(folder), 3), {"videos": {"scissors": 0}}, 2, range(10))


def test_tissue_has_no_row():
    one = ObjectEntry(1, "hook", True, ())
    assert class_row(one, ROWS["videos"]) == 2
    assert class_row(dataclasses.replace(one, is_instrument=False), ROWS["videos"]) == -1
    assert class_row(dataclasses.replace(one, category="tuba"), ROWS["videos"]) == -1
