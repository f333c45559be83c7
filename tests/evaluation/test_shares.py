"""Shares of a list: every item once, by flag and by what SLURM sets."""

import pytest

from surgjax.evaluation.shares import Share, find_share, parse_share, place_on_machine


def _array(task, first=0, last=3, step=None):
    count = len(range(first, last + 1, step or 1))
    env = {"ID": task, "MIN": first, "MAX": last, "COUNT": count}
    if step is not None:
        env["STEP"] = step
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in env.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_every_item_is_in_one_share(count):
    items = list("cabdefghij")
    parts = [Share(k, count).of(items) for k in range(count)]
    assert sorted(sum(parts, [])) == sorted(items)
    assert parts[0][0] == "c"  # in the order of the list
    assert Share(0, count).of(items, key=str)[0] == "a"
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_flag_first_then_slurm_then_everything():
    assert find_share(None, {}) == (Share(0, 1), "one process")
    for task, (first, last, step), place in (
        (2, (0, 3, None), 2),
        (1, (1, 4, 1), 0),
        (9, (3, 9, 3), 2),
    ):
        share, source = find_share(None, _array(task, first, last, step))
        assert (share.index, source) == (place, "SLURM_ARRAY_TASK_ID")
        assert share.count == len(range(first, last + 1, step or 1))
    assert find_share("1/2", _array(3)) == (Share(1, 2), "--share")
    tasks = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
    assert find_share(None, tasks) == (Share(1, 2), "SLURM_PROCID")
    both = [
        find_share(None, _array(k) | tasks | {"SLURM_PROCID": str(p)})[0]
        for k in range(4)
        for p in range(2)
    ]
    assert sorted((share.index, share.count) for share in both) == [(k, 8) for k in range(8)]
    assert place_on_machine(Share(5, 8), tasks) == 1 and place_on_machine(Share(5, 8), {}) == 5


def test_what_makes_no_share_is_refused():
    for text in ("2/2", "3/2", "1/0"):
        with pytest.raises(ValueError, match=f"--share {text}: 0/N to N-1/N expected"):
            parse_share(text)
    for text in ("1", "a/b", "-1/2", "1/2/3"):
        with pytest.raises(ValueError, match=f"--share {text}: K/N expected"):
            parse_share(text)
    holes = _array(7, 1, 7) | {"SLURM_ARRAY_TASK_COUNT": "3"}  # --array=1,3,7
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_ID 7 of 3 from 1 to 7, step 1: an arr"):
        find_share(None, holes)
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_COUNT: a number expected, found ''"):
        find_share(None, {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0",
                          "SLURM_ARRAY_TASK_MAX": "0"})  # fmt: skip
