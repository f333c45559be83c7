"""Which kind of batch a step takes, and where each kind's source stands."""

import itertools

import pytest

from surgjax.data.clips import LoadedBatch
from surgjax.train import stages
from surgjax.train.batch_sources import BatchSources, SourcedBatch, split_batch
from surgjax.train.stages import Stage

TWO = (Stage(10, {"a": 1.0}), Stage(1000, {"a": 0.25, "b": 0.75}))


def test_kinds_follow_the_shares_and_do_not_depend_on_the_start():
    kinds = [stages.kind_at(TWO, step, seed=3) for step in range(1010)]
    assert set(kinds[:10]) == {"a"}
    assert 0.7 < kinds[10:].count("b") / 1000 < 0.8
    assert kinds[500] == stages.kind_at(TWO, 500, seed=3)
    assert stages.kind_at((Stage(1, {"a": 0.0, "b": 1.0}),), 0, seed=0) == "b"


@pytest.mark.parametrize("begin", [0, 7, 10, 60])
def test_sources_go_on_where_the_steps_before_left_them(begin):
    whole = BatchSources({k: itertools.count for k in "ab"}, TWO, 0, seed=1)
    taken = [whole.take(stages.kind_at(TWO, s, 1), s)[0] for s in range(100)]
    resumed = BatchSources({k: itertools.count for k in "ab"}, TWO, begin, seed=1)
    again = [resumed.take(stages.kind_at(TWO, s, 1), s)[0] for s in range(begin, 100)]
    assert again == taken[begin:]


def test_with_one_kind_the_position_is_the_step():
    assert stages.positions_at((Stage(9, {"a": 2.0, "b": 0.0}),), 7, seed=0) == {"a": 7}


def test_batches_come_with_their_sources():
    assert split_batch(SourcedBatch(1, ("x",))) == (1, ("x",))
    assert split_batch(LoadedBatch(4, "clips", ("x",))) == ("clips", ("x",))
    assert split_batch({"x": 1}) == ({"x": 1}, ())


def test_sources_that_can_be_closed_are():
    closed = []

    def source(start):
        try:
            yield from itertools.count(start)
        finally:
            closed.append(start)

    sources = BatchSources({"a": source, "b": source}, TWO, 5, seed=0)
    sources.take("a", 5)
    sources.close()
    assert closed == [5]  # the other one was never opened


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((), "at least one"),
        ((Stage(0, {"a": 1.0}),), r"stages\[0\]: one step or more .* found 0 steps"),
        ((Stage(1, {"a": 1.0}), Stage(1, {"a": 0.0})), r"stages\[1\]"),
        ((Stage(1, {"a": -1.0, "b": 2.0}),), "shares of 0 or more"),
    ],
)
def test_stages_that_make_no_sense_are_refused(bad, said):
    with pytest.raises(ValueError, match=said):
        stages.total_steps(bad)
    with pytest.raises(ValueError, match=r"no source of \['b'\], found \['a'\]"):
        BatchSources({"a": itertools.count}, TWO, 0, seed=0)
