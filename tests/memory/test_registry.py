"""Policies by name: options, their kinds, and what is refused."""

from typing import Any

import pytest

from surgjax.memory.diverse_memory import LongOptions
from surgjax.memory.registry import NAMES, build_policy, options_for, parse_options, stated
from tests.memory.scripted import CONFIG


def test_names():
    assert NAMES == ("recent", "divemem", "dlm", "frame_pruning", "pooled", "random_long")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_and_states_its_options(name):
    memory = build_policy(name, CONFIG)
    assert memory.memory.shape == (CONFIG.grid**2, CONFIG.memory_dim)
    assert stated(name, options_for(name)).startswith(name)


def test_text_and_mapping_say_the_same():
    text = options_for("divemem", "delta=30, long=4,gamma=0.9,pointers=true,similarity=width")
    values: dict[str, Any] = dict(delta=30, long=4, gamma=0.9, pointers=True, similarity="width")
    assert text == options_for("divemem", values) == LongOptions(**values)
    assert options_for("divemem", text) is text


def test_defaults():
    options = options_for("divemem")
    assert (options.delta, options.long, options.gamma) == (5, 3, 0.95)
    assert options_for("dlm").presence is False
    assert options_for("random_long").selection == "random"
    assert stated("recent", options_for("recent")) == "recent"
    assert stated("frame_pruning", options_for("frame_pruning", "prune=1")) == (
        "frame_pruning(prune=1, similarity=token)"
    )


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(1, 25, 25), (0.5, 25, 12), (0.01, 25, 1)])
def test_a_buffer_in_seconds(seconds, fps, frames):
    assert options_for("divemem", f"delta_s={seconds}", fps).delta == frames


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("none", "", "memory 'none': expected one of recent, divemem"),
        ("recent", "delta=3", "memory recent, memory_options delta: not known; expected of none"),
        ("frame_pruning", "delta=3", "not known; expected of prune, similarity"),
        ("divemem", "delta", "memory_options 'delta': expected name=value"),
        ("divemem", "delta=3,delta=4", "memory_options delta: given twice"),
        ("divemem", "delta=3.5", "memory_options delta: int expected, found '3.5'"),
        ("divemem", "pointers=maybe", "memory_options pointers: bool expected"),
        ("divemem", {"gamma": "high"}, "memory_options gamma: float expected"),
        ("divemem", {"delta": True}, "memory_options delta: int expected, found True"),
        ("divemem", "delta=0", "memory_options delta=0: an integer from 1"),
        ("divemem", "gamma=nan", "memory_options gamma=nan"),
        ("divemem", "similarity=dot", "similarity=dot: expected one of flatten"),
        ("divemem", "selection=last", "selection=last: expected one of diverse"),
        ("divemem", "delta_s=1", "memory_options delta_s=1: the video has no frame rate"),
        ("divemem", "delta=3,delta_s=1", "delta and delta_s contradict"),
        ("frame_pruning", LongOptions(), "are of another policy"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(ValueError, match=message):
        options_for(name, options)


def test_parse():
    assert parse_options("") == {} and parse_options(" a=1 ,") == {"a": "1"}
