"""SAM2S's own parameters: their rate, their decay, and where they come from."""

import numpy as np
import pytest

from configs.promptable_sam2 import common, generated_nano
from experiments.promptable_sam2 import model_parts
from surgjax import checkpoints
from surgjax.checkpoints.text_bank_file import save_bank
from surgjax.models.sam2 import abstract_params, init_params
from surgjax.testing import debug_config
from surgjax.text.text_bank import ORTHOGONAL, TextBank
from surgjax.train import parameter_rules, recipes
from surgjax.train.optimizers import OptimizerOptions, learning_rate_schedule

CONFIG = debug_config().replace(semantic_token=True)
BOTH = CONFIG.replace(long_memory_embedding=True)


def test_every_new_leaf_has_its_rate_and_the_token_does_not_decay():
    found = parameter_rules.treatments(abstract_params(BOTH), sum(BOTH.stages), 0.9)
    added = ("semantic/", "long_tpos_enc")
    new = {name: what for name, what in found.items() if name.startswith(added)}
    assert len(new) == 8 + 1
    assert {what.group for what in new.values()} == {parameter_rules.NEW_PARTS}
    assert {what.scale for what in new.values()} == {1.0}
    decayed = {name for name, what in new.items() if what.decays}
    kernels = {"semantic/mlp/layers_0/kernel", "semantic/mlp/layers_1/kernel"}
    assert decayed == kernels | {"long_tpos_enc"}  # as SAM 2 decays its other temporal embeddings
    assert not any(
        what.group == parameter_rules.NEW_PARTS for name, what in found.items() if name not in new
    )


def test_new_parts_have_a_rate_of_their_own():
    options = OptimizerOptions(lr=1e-5, final_lr=1e-6, warmup_steps=0, new_parts_lr=3e-4)
    rates = learning_rate_schedule(options, 100)
    first, last = rates(0), rates(100)
    assert float(first["new_parts"]) == pytest.approx(3e-4)
    assert float(last["new_parts"]) == pytest.approx(3e-5)
    assert float(first["base"]) == float(first["image_encoder"]) == pytest.approx(1e-5)
    plain = learning_rate_schedule(OptimizerOptions(warmup_steps=0), 100)
    assert float(plain(0)) == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="new_parts_lr: expected above 0"):
        OptimizerOptions(new_parts_lr=0.0)


def test_the_token_alone_can_be_trained():
    recipe = recipes.get_recipe("semantic/*,no_obj_ptr")
    trained, frozen = recipes.split(init_params(CONFIG), recipe)
    assert set(trained) == {"semantic", "no_obj_ptr"} and "semantic" not in frozen


@pytest.fixture
def config(tmp_path):
    plain = debug_config()
    checkpoints.save_params(tmp_path / "plain", init_params(plain, 5), plain)
    rows = np.eye(2, 512, dtype=np.float32)
    bank = TextBank(("grasper", "hook"), rows, "made up", np.ones(2, bool))
    save_bank(tmp_path / "bank.safetensors", bank)
    c = generated_nano.get_config()
    c.model = {"variant": "debug", "version": "2.1", "image_size": 64}
    c.init = {"checkpoint": str(tmp_path / "plain"), "run": "", "from_nothing": False}
    c.prompts = {}
    c = common.with_semantic_token(c, str(tmp_path / "bank.safetensors"))
    assert model_parts.variant_of(c) == CONFIG
    return c


def test_a_token_is_added_where_the_config_asks_for_it(config):
    config.init.add_semantic_token = False
    with pytest.raises(ValueError, match="not the weights of 'debug'.*8 arrays differ"):
        model_parts.initial_params(config)
    config.init.add_semantic_token = True
    params = model_parts.initial_params(config)
    plain = checkpoints.load(config.init.checkpoint).params
    same = init_params(debug_config(), 5)
    assert set(params) - set(plain) == {"semantic"}
    np.testing.assert_array_equal(params["no_obj_ptr"], same["no_obj_ptr"])


def test_the_embedding_of_long_memories_is_added_as_a_copy_of_the_prompts_row(config):
    config = common.with_long_memories(config)
    assert model_parts.variant_of(config) == BOTH
    plain = checkpoints.load(config.init.checkpoint).params
    params = model_parts.initial_params(config)
    assert set(params) - set(plain) == {"semantic", "long_tpos_enc"}
    np.testing.assert_array_equal(params["long_tpos_enc"], plain["maskmem_tpos_enc"][-1:])
    config.init.add_long_memory_embedding = False
    with pytest.raises(ValueError, match="1 arrays differ, the first is long_tpos_enc"):
        model_parts.initial_params(config)
    config.model.long_memory_embedding = False  # what the weights lack is not asked for
    assert "long_tpos_enc" not in model_parts.initial_params(config)


def test_what_weights_have_already_is_kept(config, tmp_path):
    config = common.with_long_memories(config)
    trained = init_params(BOTH, 6)
    trained["long_tpos_enc"] = trained["long_tpos_enc"] + 1
    checkpoints.save_params(tmp_path / "trained", trained, BOTH)
    config.init.checkpoint = str(tmp_path / "trained")
    params = model_parts.initial_params(config)
    np.testing.assert_array_equal(params["long_tpos_enc"], trained["long_tpos_enc"])
    np.testing.assert_array_equal(params["semantic"]["token"], trained["semantic"]["token"])
    config.model.semantic_token = False  # but a model without it does not take it
    config.model.long_memory_embedding = False
    with pytest.raises(ValueError, match="9 arrays differ"):
        model_parts.initial_params(config)


def test_the_fallback_is_asked_for_by_name_with_its_classes(config):
    config.text_bank = "fallback:hook,grasper,liver"
    bank = model_parts.text_bank_of(config)
    assert bank.kind == ORTHOGONAL and bank.names == ("hook", "grasper")  # liver is not learned
    for value, message in (
        ("fallback:", "'' is unknown; expected sa_sv, "),
        ("fallback:hook", "config.text_bank fallback:hook: text bank: two instruments or more"),
        ("nowhere.safetensors", "nowhere.safetensors: no such file"),
    ):
        config.text_bank = value
        with pytest.raises(ValueError, match=message):
            model_parts.text_bank_of(config)


def test_a_loss_needs_a_bank_and_a_token(config):
    assert model_parts.text_bank_of(config).names == ("grasper", "hook")
    assert model_parts.prompts_of(config, "shapes", 64).semantic_weight == 0
    config.text_bank = ""
    with pytest.raises(ValueError, match=r"needs config\.text_bank"):
        model_parts.text_bank_of(config)
    config.model.semantic_token = False
    with pytest.raises(ValueError, match=r"needs config\.model\.semantic_token"):
        model_parts.text_bank_of(config)
    config.prompts.semantic_weight = 0.0
    assert model_parts.text_bank_of(config) is None
