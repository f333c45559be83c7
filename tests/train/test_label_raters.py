"""Masks of several annotators: the same every time, one annotator to a video, truth untouched."""

import collections
import pickle
import zlib

import numpy as np
import pytest

from surgjax.data import augment
from surgjax.data.clips import open_clips
from surgjax.data.index import ObjectEntry, VideoEntry
from surgjax.data.mixture import MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from surgjax.synthetic.annotators import IOU_BOUNDS, RATERS, annotate
from surgjax.train.label_raters import VideoRaters
from tests.data import prepared


def video(name="v", ids=(3, 7)):
    objects = tuple(ObjectEntry(i, "tool", True, ((0, 9),)) for i in ids)
    return VideoEntry(name, 0, 9, 64, 64, 5.0, "", "", name, ((0, 9),), objects)


def stored(dtype=np.uint8, values=(3, 7)):
    labels = np.zeros((64, 64), dtype)
    labels[10:40, 8:30], labels[30:60, 25:55] = values
    labels[:, 60:] = np.iinfo(dtype).max
    return labels


def test_videos_are_divided_among_the_raters():
    raters = VideoRaters(("tight", "loose", "shaky"), 4)
    given = collections.Counter(raters.rater_of(f"video_{i}") for i in range(600))
    assert set(given) == {"tight", "loose", "shaky"} and min(given.values()) > 150  # 200 expected
    assert raters.rater_of("video_1") == pickle.loads(pickle.dumps(raters)).rater_of("video_1")
    other = VideoRaters(raters.raters, 5)
    assert any(other.rater_of(f"v{i}") != raters.rater_of(f"v{i}") for i in range(20))


@pytest.mark.parametrize("rater", RATERS)
def test_a_map_is_the_raters_and_unknown_pixels_stay(rater):
    raters, entry = VideoRaters((rater,)), video()
    drawn = raters(stored(), entry, 2)
    assert drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 3, 7, 255}
    np.testing.assert_array_equal(drawn == 255, stored() == 255)
    np.testing.assert_array_equal(drawn, raters(stored(), entry, 2))
    for value in (3, 7):
        a, b = drawn == value, stored() == value
        low, high = IOU_BOUNDS[rater]
        assert low - 0.1 < (a & b).sum() / (a | b).sum() <= min(high + 0.05, 1)
    if rater in ("polygon", "shaky"):  # margins of the others are whole pixels
        assert (drawn != raters(stored(), entry, 3)).any()  # another frame, another hand
        assert (drawn != raters(stored(), video("w"), 2)).any()  # and another video


def test_wide_maps_keep_their_values():
    entry = video(ids=(300, 40_000))
    drawn = VideoRaters(("loose",))(stored(np.uint16, (300, 40_000)), entry, 0)
    assert set(np.unique(drawn)) == {0, 300, 40_000, 65_535} and drawn.dtype == np.uint16
    assert (drawn == 300).sum() > (stored(np.uint16, (300, 40_000)) == 300).sum()


def test_it_is_the_annotators_own_drawing():
    labels = np.zeros((64, 64), np.uint8)
    labels[10:40, 8:30] = 1
    frame = (zlib.crc32(b"v") << 32) + 6
    want = annotate(labels, "polygon", 2, frame)
    np.testing.assert_array_equal(VideoRaters(("polygon",), 2)(labels, video(ids=(1,)), 6), want)


def test_clips_are_labelled_by_the_raters_and_stay_so(tmp_path):
    folder = prepared.write_set(
        str(tmp_path),
        "squares",
        {"train": [prepared.moving_square(f"m{i}", 6, 48, 48) for i in (0, 1)]},
    )
    entries = [MixtureEntry(PreparedSet(folder), "train", ClipSampler(frames=3, objects=1))]

    def maps(relabel, threads=1):
        settings = dict(batch_size=2, size=48, seed=0, process_index=0, process_count=1)
        with open_clips(
            entries, augment_config=augment.NO_AUGMENT, relabel=relabel, threads=threads, **settings
        ) as batches:
            return next(batches).clips.label_maps

    true, loose = maps(None), maps(VideoRaters(("loose",)))
    assert (loose > 0).sum() > 1.05 * (true > 0).sum() and not ((true == 1) & (loose == 0)).any()
    np.testing.assert_array_equal(loose, maps(VideoRaters(("loose",)), threads=3))
    tight = maps(VideoRaters(("tight",)))
    assert (tight > 0).sum() < (true > 0).sum()


def test_refusals():
    with pytest.raises(ValueError, match="raters: expected some of tight, .*found sloppy"):
        VideoRaters(("sloppy",))
    with pytest.raises(ValueError, match="raters: expected some of .*found none"):
        VideoRaters(())
    with pytest.raises(ValueError, match="raters seed: expected 0 or more, found -1"):
        VideoRaters(seed=-1)
    with pytest.raises(ValueError, match="v: raters draw up to 254 objects, found 255"):
        VideoRaters()(stored(np.uint16), video(ids=range(1, 256)), 0)
