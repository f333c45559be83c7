"""The order of examples: every video once per epoch, shares as asked, by seed and number alone."""

import collections
import pickle

import pytest

from surgjax.data.mixture import Mixture, MixtureEntry, Share
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from tests.data import prepared

SAMPLER = ClipSampler(frames=3)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    data_dir = str(tmp_path_factory.mktemp("sets"))
    large = [prepared.moving_square(f"l{i}", 4) for i in range(9)]
    large[8].label_maps[:] = 0  # shows nothing: cannot be drawn
    small = [prepared.moving_square(f"s{i}", 3) for i in range(3)]
    folders = [
        prepared.write_set(data_dir, "large", {"train": large}, named={"fold": ("l1", "l3")}),
        prepared.write_set(data_dir, "small", {"train": small[:2], "test": small[2:]}),
    ]
    return [PreparedSet(folder) for folder in folders]


def names(mixture, numbers):
    return [mixture.pick(n).video.video_id for n in numbers]


def test_every_video_once_per_epoch_in_another_order(sets):
    mixture = Mixture([MixtureEntry(sets[0], "train", SAMPLER)], seed=0)
    epochs = [tuple(names(mixture, range(8 * e, 8 * e + 8))) for e in range(6)]
    assert all(sorted(epoch) == [f"l{i}" for i in range(8)] for epoch in epochs)
    assert len(set(epochs)) == 6
    other = Mixture([MixtureEntry(sets[0], "train", SAMPLER)], seed=1)
    assert tuple(names(other, range(8))) not in epochs  # not the same order one epoch earlier


def test_order_needs_no_history(sets):
    entries = [MixtureEntry(sets[0], "train", SAMPLER), MixtureEntry(sets[1], "train", SAMPLER)]
    first, second = Mixture(entries, 3), pickle.loads(pickle.dumps(Mixture(entries, 3)))
    forward = names(first, range(50))
    assert names(second, reversed(range(50))) == forward[::-1]
    assert names(Mixture(entries, 3), [10**9 + 7]) == names(first, [10**9 + 7])
    draws = [first.generator(n).random() for n in (0, 1, 10**9)]
    assert len(set(draws)) == 3
    assert draws == [second.generator(n).random() for n in (0, 1, 10**9)]


@pytest.mark.parametrize(
    ("weights", "weighting", "share"),
    [
        ((1.0, 1.0), "given", 0.5),
        ((3.0, 1.0), "given", 0.75),
        ((1.0, 1.0), "sqrt_masks", 32**0.5 / (32**0.5 + 6**0.5)),  # 8 x 4 and 2 x 3 masks
        ((1.0, 2.0), "sqrt_masks", 32**0.5 / (32**0.5 + 2 * 6**0.5)),
    ],
)
def test_shares(sets, weights, weighting, share):
    entries = [MixtureEntry(s, "train", SAMPLER, w) for s, w in zip(sets, weights, strict=True)]
    mixture = Mixture(entries, 0, weighting)
    assert mixture.shares == pytest.approx([share, 1 - share])
    counts = collections.Counter(mixture.pick(n).set_index for n in range(1000))
    assert counts[0] == pytest.approx(1000 * share, abs=10)


def test_named_splits(sets):
    mixture = Mixture([MixtureEntry(sets[0], "fold", SAMPLER)], 0)
    assert set(names(mixture, range(10))) == {"l1", "l3"}
    assert mixture.pick(0).disk_split == "train"


def test_processes_share_every_batch():
    whole = [Share(6).number(i) for i in range(18)]
    assert whole == list(range(18))
    halves = [[Share(6, p, 2).number(i) for i in range(9)] for p in range(2)]
    assert halves[0] == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    assert sorted(halves[0] + halves[1]) == whole


def test_refusals(sets):
    entry = MixtureEntry(sets[0], "train", SAMPLER)
    with pytest.raises(ValueError, match="at least one set"):
        Mixture([], 0)
    with pytest.raises(ValueError, match="weight of large must be positive, found 0"):
        Mixture([MixtureEntry(sets[0], "train", SAMPLER, 0)], 0)
    with pytest.raises(ValueError, match="weighting must be given or sqrt_masks"):
        Mixture([entry], 0, "equal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be 0 or more, found -1"):
        Mixture([entry], -1)
    with pytest.raises(ValueError, match="large has no split 'val'; it has train, fold"):
        Mixture([MixtureEntry(sets[0], "val", SAMPLER)], 0)
    too_long = ClipSampler(frames=9, short="skip")
    with pytest.raises(ValueError, match="none of the 9 videos of split 'train' has a clip for"):
        Mixture([MixtureEntry(sets[0], "train", too_long)], 0)
    with pytest.raises(ValueError, match="positive multiple of the 2 processes, found 5"):
        Share(5, 0, 2)
    with pytest.raises(ValueError, match="process_index must be 0..1, found 2"):
        Share(4, 2, 2)
