"""Configs of SAM2S: whole in every mode, traced at full size, run small; what is held out stays so.

The sets of SA-SV are checked by name and split against the builders, without an archive.
"""

import importlib
import json
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from configs.promptable_sam2 import generated_nano
from configs.sam2s import sa_sv
from experiments.promptable_sam2 import debug_data, model_parts, running, sources
from experiments.promptable_sam2.evaluation import Predictors
from experiments.sam2s import sa_sv_evaluation
from surgjax import checkpoints
from surgjax.data.mixture import Mixture
from surgjax.data.reader import PreparedSet, version_folder
from surgjax.losses import ArlOptions
from surgjax.memory.long_memory import LongBank
from surgjax.models.sam2 import abstract_params, init_params
from surgjax.synthetic.annotators import RATERS
from surgjax.synthetic.names import CATEGORIES
from surgjax.testing import debug_config
from surgjax.text.categories import sources as table
from surgjax.text.text_bank import ORTHOGONAL
from surgjax.train import parameter_rules, recipes
from surgjax.train.run_record import config_json
from tests.configs import steps
from tfds_builders import registry

SIGMA = {"sa_sv": 2.0, "generated": 4.0}  # px at a side of 512; nano has a fourth of its pixels
TAKEN_AWAY = ("consecutive", "hard_labels", "no_tsl")
MODES = {
    "sa_sv": (*TAKEN_AWAY, "pseudo_clips"),
    "generated": (*TAKEN_AWAY, "raters", "raters,hard_labels", "consecutive,no_tsl", "token"),
}


def load(name, mode="full"):
    module = importlib.import_module(f"configs.sam2s.{name}")
    config = ConfigDict(module.get_config(mode)).lock()
    if name == "sa_sv" and "text_bank" in config:
        config.text_bank = "fallback:sa_sv"  # its user has a file
    return config


@pytest.mark.parametrize("name", MODES)
def test_all_modes_are_whole_and_unknown_ones_are_refused(name):
    for mode in ("full", "debug", *MODES[name], *(f"{each},debug" for each in MODES[name])):
        running.check(load(name, mode))
    with pytest.raises(ValueError, match="expected some of full, debug"):
        load(name, "fold9")


def test_all_three_are_on():
    for name in MODES:
        config = load(name)
        variant = model_parts.variant_of(config)
        assert variant.long_memory_embedding and variant.semantic_token
        assert not variant.tsl_bidirectional
        kind = running.check(config)["clip"]
        assert isinstance(kind, sources.SetBatchOptions)
        assert kind.sampler["kind"] == "hybrid"
        assert (kind.sampler["frames"], kind.sampler["num_long"]) == (8, 2)
        prompts = model_parts.prompts_of(config, "clip", kind.size)
        assert prompts.weights.arl == ArlOptions(SIGMA[name], "calibrated")
        assert prompts.conditioning_frames == 1
        assert (prompts.memory, prompts.long_frames) == ("hybrid", 2)
        assert prompts.semantic_weight == 0.1 and config.optim.new_parts_lr > config.optim.lr
        assert config.eval.memory == "divemem"
    options = running.check(load("generated", "raters"))["clip"]
    assert isinstance(options, sources.SetBatchOptions)
    relabel = options.relabel()
    assert relabel is not None and relabel.raters == RATERS


@pytest.mark.parametrize("name", MODES)
def test_a_control_takes_one_of_them_away_and_no_more(name):
    whole = _parts(load(name))
    assert all(whole.values())
    for mode in TAKEN_AWAY:
        found = _parts(load(name, mode))
        assert [part for part in whole if not found[part]] == [mode]
        before, after = load(name).to_dict(), load(name, mode).to_dict()
        for group in ("stages", "seed", "recipe", "loop", "test"):
            assert before.get(group) == after.get(group)
        assert (
            before["optim"].items()
            >= {k: v for k, v in after["optim"].items() if k != "new_parts_lr"}.items()
        )


def test_the_token_alone_leaves_every_other_parameter_as_it_was():
    config = load("generated", "token")
    recipe = recipes.get_recipe(config.recipe)
    names = parameter_rules.path_names(abstract_params(model_parts.variant_of(config)))
    trained = {name for name in names if recipe.trains(name)}
    assert trained and trained == {name for name in names if name.startswith("semantic/")}
    assert config.prompts.semantic_balance == 1.0
    with pytest.raises(ValueError, match="'token' trains what"):
        load("generated", "token,no_tsl")
    with pytest.raises(ValueError, match="no weights given"):
        model_parts.initial_params(config)


def _parts(config):
    """What a config has, by the mode that takes it away; all of a part or nothing."""
    variant, prompts = model_parts.variant_of(config), model_parts.prompts_of(config, "clip", 256)
    parts = {
        "consecutive": {
            variant.long_memory_embedding, prompts.memory == "hybrid",
            config.eval.memory == "divemem", config.train_data.clip.sampler["kind"] == "hybrid",
            config.init.get("add_long_memory_embedding", False),
        },
        "hard_labels": {prompts.weights.arl.sigma > 0},
        "no_tsl": {
            variant.semantic_token, prompts.semantic_weight > 0,
            config.init.get("add_semantic_token", False),
            model_parts.text_bank_of(config) is not None,
        },
    }  # fmt: skip
    assert all(len(found) == 1 for found in parts.values()), parts
    return {name: found.pop() for name, found in parts.items()}


def test_the_generated_world_names_its_fallback_and_sa_sv_asks_for_a_bank():
    bank = model_parts.text_bank_of(load("generated"))
    assert bank is not None and bank.kind == ORTHOGONAL
    assert set(bank.names) == {name for name, flag in CATEGORIES.items() if flag}
    config = ConfigDict(sa_sv.get_config()).lock()
    with pytest.raises(ValueError, match=r"needs config\.text_bank, a file"):
        running.check(config)


def test_instruments_of_every_set_reach_the_bank_by_the_table():
    bank = model_parts.text_bank_of(load("sa_sv"))
    assert bank is not None and len(bank.names) == 21
    found = sources.class_rows("cholecseg8k", ["l-hook electrocautery", "liver"], bank)
    assert found == {"l-hook electrocautery": bank.index_of("hook")}
    names = {each["name"].partition("/")[0] for each in sa_sv.VIDEO_SETS + sa_sv.IMAGE_SETS}
    by_set = {name: sources.class_rows(name, table()[name].same, bank) for name in names}
    assert {name for name, rows in by_set.items() if rows} == {
        "autolaparo", "cholecinstanceseg", "cholecseg8k", "grasp", "sar_rarp50",
    }  # fmt: skip
    assert by_set["grasp"]["suction instrument"] == bank.index_of("suction")


def test_long_memories_need_clips_that_have_them():
    for name, value, message in (
        (
            "train_data.clip.sampler.num_long",
            3,
            "num_long: expected at most prompts.long",
        ),
        ("train_data.clip.sampler.kind", "consecutive", "kind: expected 'hybrid', found 'consec"),
    ):
        config = load("generated")
        config.update_from_flattened_dict({name: value})
        with pytest.raises(ValueError, match=f"memory 'hybrid': train_data.clip.*{message}"):
            running.check(config)
    shards = ConfigDict(generated_nano.get_config())
    shards.prompts.memory = "hybrid"
    with pytest.raises(ValueError, match="train_data.clip draws shards, whose clips have no"):
        running.check(shards)


def test_evaluation_tracks_with_the_policy_it_names():
    config = load("generated")
    config.eval.memory = "divememe"
    with pytest.raises(ValueError, match="memory 'divememe': expected one of recent, divemem"):
        running.check(config)
    variant = debug_config().replace(long_memory_embedding=True)
    made = Predictors(variant, None, memory="divemem", memory_options="delta=9")
    params = init_params(variant)
    state = SimpleNamespace(params=params, ema_params=params)
    _, videos = made.of(state)  # type: ignore[arg-type]
    assert isinstance(videos.programs.stream.policy.init(), LongBank)


def _splits(name):
    """Splits that a builder's own files list, further ones by rule included."""
    folder = registry.builder_class(name).FOLDER / "splits"
    found = set()
    for path in folder.glob("*.txt"):
        lines = (line.split() for line in path.read_text().splitlines() if line.strip())
        kinds = {words[0] for words in lines if not words[0].startswith("#")}
        found |= kinds if path.stem == "official" else {f"{kind}_{path.stem}" for kind in kinds}
    return found


def test_a_run_records_which_text_bank_it_was():
    config = load("generated")
    bank = model_parts.text_bank_of(config)
    assert bank is not None
    recorded = json.loads(config_json(running._recorded(config, bank)))
    assert recorded.pop("text_bank_sha256") == bank.sha256()
    assert recorded == json.loads(config_json(config))
    assert running._recorded(config, None) is config


def test_the_mixture_is_that_of_the_sources_that_can_be_had():
    config = load("sa_sv")
    kinds = running.check(config)
    trained = [each for kind in kinds.values() for each in kind.sets]  # type: ignore[union-attr]
    names = {each.name.partition("/")[0] for each in trained}
    held_out = {each["name"].partition("/")[0] for each in config.test.held_out}
    assert len(names) == 12 and held_out == {"endovis17", "endovis18"} and not names & held_out
    assert len(sa_sv.VIDEO_SETS) + len(sa_sv.IMAGE_SETS) == len(trained) == 13
    assert config.test.absent == ("SurgAI3.8k", "ART-Net", "Hyst-YT", "NUH")
    tests = [(e["name"], e["split"]) for e in (*config.test.sets, *config.test.images)]
    assert {name for name, _ in tests} == {each.name for each in trained}
    for each in trained:
        assert (each.name, each.split) not in tests and each.split.startswith("train")
    assert {kind.weighting for kind in kinds.values()} == {"sqrt_masks"}  # type: ignore[union-attr]


def test_what_is_tracked_are_videos_and_the_rest_single_images():
    test = load("sa_sv").test
    for kind, is_video in (("sets", True), ("held_out", True), ("images", False)):
        for each in test[kind]:
            name, _, config = each["name"].partition("/")
            builder = registry.builder_class(name)
            found = builder.IS_VIDEO
            if isinstance(found, property):  # by its config
                found = config == "sequences"
            assert found == is_video and each["procedure"], each


def test_sets_and_splits_are_known_to_the_builders():
    config = load("sa_sv")
    trained = [dict(each) for each in sa_sv.VIDEO_SETS + sa_sv.IMAGE_SETS]
    tests = (*config.test.sets, *config.test.images, *config.test.held_out)
    for each in [*trained, *map(dict, tests)]:
        name, _, wanted = each["name"].partition("/")
        kind = registry.builder_class(name)
        assert not wanted or wanted in {item.name for item in kind.BUILDER_CONFIGS}, each
        readme = (kind.FOLDER / "README.md").read_text()
        by_rule = [rule for rule in ("global", "tenth") if f"_{rule}" in readme]
        base = _splits(name) | ({"train", "val"} if "tenth" in by_rule else set())
        known = base | {f"{split}_{rule}" for split in base for rule in by_rule}
        assert each["split"] in known, (each, known)


@pytest.mark.slow  # thirteen drawn archives
def test_every_set_gives_clips_and_its_test_split_is_there(tmp_path):
    config = load("sa_sv")
    names = [each.name for kind in running.check(config).values() for each in kind.sets]  # type: ignore[union-attr]
    debug_data.write_sets(tmp_path, [*names, *(each["name"] for each in config.test.held_out)])
    shares = running.stages_of(config, str(tmp_path))[0].shares
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    kinds = running.check(config)
    for name in ("clip", "image"):
        entries = sources.mixture_entries(str(tmp_path), kinds[name])  # type: ignore[arg-type]
        assert Mixture(entries, 0, "sqrt_masks").shares
    for each in config.test.images:
        opened = PreparedSet(version_folder(tmp_path, each["name"]))
        entries = [entry for _, entry in opened.index.videos(each["split"])]
        assert entries and {entry.length for entry in entries} == {1}
    tracked = sa_sv_evaluation.sets_of(config.test)
    options = sa_sv_evaluation.SaSvOptions(str(tmp_path))
    assert sa_sv_evaluation.find_sets(options, tracked) == (tracked, {})


@pytest.mark.parametrize(
    "name, mode, kind",
    [
        ("sa_sv", "full", "clip"), ("sa_sv", "full", "image"), ("generated", "full", "clip"),
        ("generated", "token", "clip"), ("generated", "token", "image"),
    ],
)  # fmt: skip
def test_full_size_steps_trace_without_compute(name, mode, kind):
    steps.check_step(load(name, mode), kind)


def test_shares_by_masks_need_sets_that_are_mixed_so():
    config = load("sa_sv")
    config.train_data.clip.weighting = "given"
    with pytest.raises(ValueError, match="need train_data.clip to mix prepared sets"):
        running.stages_of(config, "nowhere")


@pytest.mark.parametrize(
    "name, mode",
    [
        pytest.param("sa_sv", "debug", marks=pytest.mark.slow),
        ("generated", "debug"),
        pytest.param("generated", "token,debug", marks=pytest.mark.slow),
    ],
)
def test_debug_run_ends_with_scores_and_an_export(name, mode, tmp_path, compiled):
    config = load(name, mode)
    state = running.run(config, str(tmp_path))
    assert int(state.step) == 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    exported = checkpoints.load(tmp_path / "export")
    bank = model_parts.text_bank_of(config)
    assert exported.config == model_parts.exported_variant(config, bank)
    said = exported.config.text_bank
    assert (said and said.sha256) == (bank and bank.sha256())
    assert all("tsl_accuracy" in line for line in lines if "loss" in line)
