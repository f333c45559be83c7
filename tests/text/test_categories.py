"""The table of categories against every builder."""

import json
from importlib import resources

import numpy as np
import pytest

from surgjax.text.categories import bank_rows, categories, category_of, instruments, sources
from surgjax.text.templates import SURGICAL, Templates
from tfds_builders import registry
from tfds_builders.cadis.classes import EXPERIMENTS
from tfds_builders.cadis.classes import categories as cadis_categories
from tfds_builders.endovis18.builder import SCENE, TYPES
from tfds_builders.single_background.builder import DEFAULT_NAME

# Builders whose classes depend on their config: all of them together.
BY_CONFIG = {
    "cadis": {k: v for number in EXPERIMENTS for k, v in cadis_categories(number).items()},
    "endovis18": {**TYPES, **SCENE},
    "davis_folder": {"object": True},
    "single_background": {DEFAULT_NAME: True},
}


def classes_of(name):
    """{class: is it an instrument} of a builder; labels over time are all of instruments."""
    if name in BY_CONFIG:
        return BY_CONFIG[name]
    builder = registry.builder_class(name)
    found = getattr(builder, "CATEGORIES", None) or dict.fromkeys(builder.TOOLS, True)
    assert isinstance(found, dict), f"{name}: classes by config, list them in BY_CONFIG"
    return found


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_class_of_every_builder_is_in_the_table_and_no_other(name):
    source, found = sources()[name], classes_of(name)
    assert not source.same.keys() & source.unmapped.keys()
    assert {*source.same, *source.unmapped} == set(found)
    assert all(len(reason) > 10 for reason in source.unmapped.values())


@pytest.mark.parametrize("name", registry.NAMES)
def test_table_and_builder_agree_on_what_is_an_instrument(name):
    flags, found = {c.name: c.is_instrument for c in categories()}, classes_of(name)
    for own, category in sources()[name].same.items():
        assert flags[category] == found[own], f"{own} -> {category}"


@pytest.mark.parametrize("name", registry.NAMES)
def test_no_two_instruments_of_a_set_are_merged(name):
    found = [c for own, c in sources()[name].same.items() if classes_of(name)[own]]
    assert len(found) == len(set(found))


def test_no_source_without_a_builder():
    assert set(sources()) == set(registry.NAMES)


def test_thirty_seven_and_every_one_is_drawn_in_the_figure():
    names = [one.name for one in categories()]
    assert len(names) == len(set(names)) == 37 and len(instruments()) == 21
    file = resources.files("surgjax.text").joinpath("categories.json")
    drawn = [entry["figure"] for entry in json.loads(file.read_text())["categories"]]
    assert len(set(drawn)) == 37 and {"GI tract", "dissect & grasp", "US probe"} <= set(drawn)


def test_every_instrument_occurs_in_a_set_of_sa_sv():
    held = {"generated"}  # no set of SA-SV
    found = {
        c for name, source in sources().items() if name not in held for c in source.same.values()
    }
    assert found == {one.name for one in categories()}


@pytest.mark.parametrize(
    ("source", "name", "category"),
    [
        ("cholecseg8k", "l-hook electrocautery", "hook"),
        ("cholecinstanceseg", "clipper", "clip applier"),
        ("grasp", "suction instrument", "suction"),
        ("sar_rarp50", "needle holder", "needle holder"),
        ("endovis17", "large needle driver", "needle driver"),
        ("endovis17", "other", None),
        ("cadis", "needle holder", None),
        ("single_background", "hook", "hook"),  # the user's own word
        ("single_background", "umbrella", None),
    ],
)
def test_category_of(source, name, category):
    assert category_of(source, name) == category


def test_rows_of_a_bank():
    rows = bank_rows(["hook", "grasper"], "cholecseg8k", ["grasper", "liver", "blood"])
    np.testing.assert_array_equal(rows, [1, -1, -1])


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_set_reaches_every_row_of_a_bank_of_its_own_classes(name):
    own = sorted(classes_of(name))
    np.testing.assert_array_equal(bank_rows(own[::-1], name, own), np.arange(len(own))[::-1])


def test_sets_meet_in_the_rows_of_one_bank():
    names = [one.name for one in instruments()]
    found = {
        names[int(bank_rows(names, source, [own])[0])]
        for source, own in (
            ("cholecseg8k", "l-hook electrocautery"),
            ("generated", "cautery hook"),
            ("autolaparo", "electric hook"),
        )
    }
    assert found == {"hook"}
    # The same word for another tool; and tissue, which this bank does not have.
    assert bank_rows(names, "cadis", ["needle holder"]).tolist() == [-1]
    assert bank_rows(names, "generated", ["liver", "fenestrated grasper"]).tolist() == [-1, -1]
    assert bank_rows(names, "a set of one's own", ["hook", "umbrella"]).tolist() == [
        names.index("hook"), -1,
    ]  # fmt: skip


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="data set 'nope': expected one of autolaparo, "):
        category_of("nope", "hook")
    with pytest.raises(ValueError, match="class 'hok' of cholecinstanceseg: expected one of gras"):
        category_of("cholecinstanceseg", "hok")


def test_templates_put_every_phrase_into_every_sentence():
    by_name = {one.name: one for one in categories()}
    texts = SURGICAL.texts(by_name["hook"])
    assert len(texts) == 14 and texts[0] == "a surgical hook"
    assert "a surgical liver" not in SURGICAL.texts(by_name["liver"])
    assert all("{" not in text for one in categories() for text in SURGICAL.texts(one))
    with pytest.raises(ValueError, match="template 'a hook': expected {name} in it, once"):
        Templates(("a hook",), ("a {name}",))
    with pytest.raises(ValueError, match="at least one"):
        Templates((), ("a {name}",))
