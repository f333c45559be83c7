"""Every config of an evaluation: it locks, its values are known, and wrong ones are refused."""

import dataclasses
import importlib
import math
import pkgutil

import pytest
from ml_collections import ConfigDict

import configs.evaluation
from surgjax.evaluation import model_options
from surgjax.evaluation.model_tracking import PromptOptions
from surgjax.evaluation.set_videos import GeneratedData

NAMES = [each.name for each in pkgutil.iter_modules(configs.evaluation.__path__)]


def _load(name, mode="full"):
    module = importlib.import_module(f"configs.evaluation.{name}")
    return ConfigDict(module.get_config(mode)).lock()


def test_every_config_that_is_promised_is_there():
    assert set(NAMES) == {"davis", "generated", "prepared"}


@pytest.mark.parametrize("mode", ["full", "debug"])
@pytest.mark.parametrize("name", NAMES)
def test_configs_are_whole(name, mode):
    options = model_options.from_config(_load(name, mode).to_dict())
    run = options.run_options()
    assert run.min_frames in (1, 3) and options.stated_split()
    assert options.model.random_weights == (mode == "debug")
    assert isinstance(options.data, model_options.DATA[_load(name).data.kind])


@pytest.mark.parametrize("name", NAMES)
def test_configs_list_every_value(name):
    """The config is locked: what it does not list cannot be set on the command line."""
    config = _load(name)
    parts = {
        "model": model_options.ModelOptions,
        "prompts": model_options.PromptOptions,
        "data": model_options.DATA[config.data.kind],
    }
    for part, cls in parts.items():
        listed = set(config[part]) - ({"kind"} if part == "data" else set())
        assert listed == {field.name for field in dataclasses.fields(cls)}, part
    rest = {field.name for field in dataclasses.fields(model_options.EvaluationOptions)}
    assert set(config) == {"system"} | rest
    module = importlib.import_module(f"configs.evaluation.{name}")
    assert f"--config=configs/evaluation/{name}.py" in module.__doc__


def test_no_config_overrides_the_rates_of_the_data():
    for name in ("davis", "prepared"):
        assert model_options.from_config(_load(name).to_dict()).data.fps == 0


def test_kinds_of_prompts_are_listed_and_values_without_use_refused():
    kinds = "expected one of 1-click, 3-click, 5-click, box, mask, offline, online, or another"
    for options, message in [
        (PromptOptions("scribble"), f"--prompts scribble: {kinds}"),
        (PromptOptions("0-click"), f"--prompts 0-click: {kinds}"),
        (PromptOptions("online", start="offline"), "--start offline: .* box, mask, or another"),
        (PromptOptions("box", rounds=3), "--rounds 3: --prompts box has no such"),
        (PromptOptions("offline", threshold=0.5), "--threshold 0.5: --prompts offline has no such"),
        (PromptOptions("online", clicks=0), "--clicks 0: 1 or more expected"),
        (PromptOptions("online", threshold=math.nan), "--threshold nan: an IoU"),
    ]:
        with pytest.raises(ValueError, match=message):
            options.check()
    for kind in ("mask", "box", "2-click", "offline", "online"):
        PromptOptions(kind).check()


def test_generated_scenes_need_nothing():
    data = model_options.from_config(_load("generated", "debug").to_dict()).data
    assert isinstance(data, GeneratedData)
    assert [video.name for video in data.find()] == ["simple_40000000", "simple_40000001"]


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"data.kind": "video"}, "config data.kind 'video': expected one of davis, prepared"),
        ({"data.seed": "1"}, "config data.seed: int expected, found '1'"),
        ({"model.precision": "fp8"}, "--precision fp8"),
        ({"model.image_size": 100}, "--image_size 100: a multiple of 32 expected"),
        ({"prompts.kind": "scribble"}, "--prompts scribble: expected one of"),
        ({"prompts.kind": "online", "prompts.threshold": 2.0}, "--threshold 2.0"),
        ({"prompts.kind": "offline", "prompts.rounds": 0}, "--rounds 0"),
        ({"protocol": "hota"}, "--protocol hota: expected one of davis17"),
        ({"horizons_s": (5.0, 1.0)}, "--horizons_s"),
        ({"colour": "red"}, "colour: not known; expected of"),
        ({"data.sede": 1}, "config data.sede: not known; expected of preset, seed"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    values = _load("generated").to_dict()
    for name, value in changed.items():
        *parts, last = name.split(".")
        group = values
        for part in parts:
            group = group[part]
        group[last] = value
    with pytest.raises(ValueError, match=message):
        model_options.from_config(values).run_options()


def test_a_set_that_is_missing_is_named(tmp_path):
    values = _load("prepared").to_dict()
    with pytest.raises(ValueError, match="data.folder .--data.: a prepared set is needed"):
        model_options.from_config(values).data.find()
    values["data"]["folder"] = str(tmp_path)
    with pytest.raises(ValueError, match="run experiments.prepare_data first"):
        model_options.from_config(values).data.find()
