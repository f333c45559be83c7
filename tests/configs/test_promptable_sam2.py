"""Every config: it locks, its parts are known, its whole steps trace, its debug run runs."""

import importlib
import json
import pathlib
import pkgutil

import pytest
from ml_collections import ConfigDict

import configs.promptable_sam2
from experiments.promptable_sam2 import model_parts, running, sources
from surgjax import checkpoints
from surgjax.data.augment import AugmentConfig
from surgjax.losses import LossWeights
from surgjax.train import OptimizerOptions, lora
from surgjax.train.steps.prompt_options import PromptOptions, sam2_finetuning
from tests.configs import steps

NAMES = [
    each.name
    for each in pkgutil.iter_modules(configs.promptable_sam2.__path__)
    if each.name != "common"
]
MODES = {
    "endovis17": ("fold1", "fold2", "fold3"),
    "endovis18": ("scene",),
    "few_shot_organs": ("100", "200", "400"),
    "generated_nano_continued": ("anneal", "clicks"),
}


def load(name: str, mode: str = "full") -> ConfigDict:
    module = importlib.import_module(f"configs.promptable_sam2.{name}")
    return ConfigDict(module.get_config(mode)).lock()


def kinds_to_trace():
    """Every kind that a stage draws; of the first nano also the one that it could."""
    found = []
    for name in NAMES:
        config = load(name)
        drawn = {kind for stage in config.stages for kind in stage["shares"]}
        kinds = running.check(config) if name == "generated_nano" else sorted(drawn)
        found += [(name, kind) for kind in kinds]
    return found


def test_every_config_that_is_promised_is_there():
    assert set(NAMES) == {
        "cholecinstanceseg", "cholecseg8k", "davis_folder", "endovis17", "endovis18",
        "few_shot_organs", "generated_nano", "generated_nano_continued", "generated_tiny", "mose",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_all_modes_are_whole_and_unknown_ones_are_refused(name):
    for mode in ("full", "debug", *MODES.get(name, ())):
        running.check(load(name, mode))
    if not name.startswith("generated"):
        with pytest.raises(ValueError, match="expected some of full, debug"):
            load(name, "fold9")


@pytest.mark.parametrize("name, kind", kinds_to_trace())
def test_full_size_steps_trace_without_compute(name, kind):
    steps.check_step(load(name), kind)


def test_mose_is_the_public_recipe_value_by_value():
    config = load("mose")
    prompts = PromptOptions(**config.prompts)
    assert prompts == sam2_finetuning(1024, remat=config.prompts.remat)
    assert LossWeights(**config.loss) == LossWeights()
    kind = running.check(config)["clip"]
    assert isinstance(kind, sources.SetBatchOptions)
    assert sources.augment_config(kind.augment) == AugmentConfig()
    assert (kind.batch, kind.sampler["frames"], kind.sampler["objects"]) == (8, 8, 3)
    assert OptimizerOptions(**config.optim) == OptimizerOptions(
        lr=5e-6, final_lr=5e-7, encoder_lr=3e-6, encoder_final_lr=3e-7, layer_decay=0.9,
        warmup_steps=0, weight_decay=0.1, decays="sam2", clip_norm=0.1, b2=0.999,
    )  # fmt: skip
    assert config.stages[0]["steps"] == 1507 * 2 * 40 // 8 and config.model.drop_path_rate == 0.1


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("generated")])
def test_fine_tuning_does_not_start_from_nothing_unasked(name):
    with pytest.raises(ValueError, match="--config.init.checkpoint"):
        model_parts.initial_params(load(name))


# Compiling them all takes minutes: here one of generated scenes runs, as the fine-tuning notebook's
# test does on frames of a folder. `make test-slow` runs the rest, and every config's step is traced
# here at full size and its debug mode checked.
QUICK = ("generated_nano",)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_debug_run_ends_with_scores_and_an_export(name, tmp_path, compiled):
    state = running.run(load(name, "debug"), str(tmp_path))
    assert int(state.step) == 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert any("box_iou" in str(line) for line in lines)
    assert list((tmp_path / "pictures").rglob("*.png"))
    exported = checkpoints.load(tmp_path / "export")
    assert exported.config == model_parts.variant_of(load(name, "debug"))
    assert lora.NAME not in exported.params


def test_what_does_not_fit_is_refused_before_data_are_read():
    for name, value, message in [
        ("loop.best_metric", "dice", "best_metric: 'dice' is none of what eval gives: .'box_iou'"),
        ("micro_batches", 3, "micro_batches 3 does not divide the batch of 4 of train_data.clip"),
        ("stages", ({"steps": 1, "shares": {"image": 1.0}},), "'image' is not in train_data"),
        ("recipe", "decoder", "recipe 'decoder': expected one of"),
        ("model.variant", "huge", "model 'huge': expected one of"),
        ("train_data.clip.kind", "volume", "train_data.clip: kind: one of"),
    ]:
        config = load("davis_folder")
        config.update_from_flattened_dict({name: value})
        with pytest.raises(ValueError, match=message):
            running.check(config)


def test_data_that_are_missing_are_named(tmp_path):
    config = load("cholecseg8k")
    with pytest.raises(ValueError, match="--data names the folder of prepared sets cholecseg8k"):
        running.run(config, str(tmp_path / "run"))
    config.train_data.folder = str(tmp_path)
    with pytest.raises(ValueError, match="run experiments.prepare_data first"):
        running.run(config, str(tmp_path / "run"))
    assert not pathlib.Path(tmp_path / "run").exists()
