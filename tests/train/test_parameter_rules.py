"""Every parameter of every variant is claimed once; what the table says; what is refused."""

import re

import jax
import pytest

from surgjax.models import variants
from surgjax.train import auxiliary_head, lora, parameter_rules
from tests.train import parameters

# (rule of the rate, rule of the decay) -> leaves of tiny 2.1: 471 in all.
TINY = {
    ("trunk positions", "positions"): 2,
    ("trunk patch embedding", "bias"): 1,
    ("trunk patch embedding", "kernel"): 1,
    ("trunk block", "bias"): 75,
    ("trunk block", "kernel"): 51,
    ("trunk block", "layer norm"): 24,
    ("neck", "bias"): 4,
    ("neck", "kernel"): 4,
    ("memory", "bias"): 77,
    ("memory", "kernel"): 58,
    ("memory", "memory token"): 5,
    ("memory", "layer norm"): 13,
    ("memory", "layer scale"): 2,
    ("memory", "layer norm 2d"): 6,
    ("prompt encoder", "bias"): 5,
    ("prompt encoder", "kernel"): 3,
    ("prompt encoder", "layer norm 2d"): 2,
    ("prompt encoder", "embedding"): 6,
    ("mask decoder", "bias"): 64,
    ("mask decoder", "kernel"): 54,
    ("mask decoder", "embedding"): 3,
    ("mask decoder", "layer norm 2d"): 1,
    ("mask decoder", "layer norm"): 9,
    ("fixed", "fixed"): 1,
}


def _params(name, version="2.1"):
    return parameters.abstract(name, version), sum(variants.get_config(name).stages)


def test_every_path_of_tiny_once():
    params, blocks = _params("tiny")
    found = parameter_rules.treatments(params, blocks, 0.9)
    assert sorted(found) == sorted(parameter_rules.path_names(params)) and len(found) == 471
    counts = {}
    for what in found.values():
        kind = (what.rate_rule, what.decay_rule)
        counts[kind] = counts.get(kind, 0) + 1
    assert counts == TINY
    claimed = [
        sum(bool(re.fullmatch(rule.pattern, name)) for rule in rules)
        for name in found
        for rules in (parameter_rules.RATE_RULES, parameter_rules.DECAY_RULES)
    ]
    assert set(claimed) == {1}


@pytest.mark.parametrize("version", variants.VERSIONS)
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_nothing_is_unmatched_in_any_variant(name, version):
    params, blocks = _params(name, version)
    found = parameter_rules.treatments(params, blocks, 0.9)
    assert len(found) == len(jax.tree.leaves(params))


def test_scales_by_hand():
    # 12 blocks, decay 0.9: block 11 has 0.9, block 0 has 0.9^12, the patches 0.9^13
    def scale(name):
        return parameter_rules.treatment(name, 12, 0.9).scale

    trunk = "image_encoder/trunk/"
    assert scale(trunk + "blocks_11/mlp/layers_0/kernel") == pytest.approx(0.9)
    assert scale(trunk + "blocks_0/norm1/bias") == pytest.approx(0.28243, rel=1e-4)
    assert scale(trunk + "patch_embed/proj/kernel") == pytest.approx(0.25419, rel=1e-4)
    assert scale(trunk + "pos_embed") == scale(trunk + "pos_embed_window") == 1.0
    assert scale("image_encoder/neck/convs_0/conv/kernel") == scale("no_mem_embed") == 1.0


def test_what_a_run_adds_is_claimed_too():
    params = parameters.drawn()
    params = lora.add(params, lora.LoraOptions(rank=2), 0)
    params[auxiliary_head.NAME] = auxiliary_head.init_params(32, 0)
    found = parameter_rules.treatments(params, 5, 0.9)
    added = {k: v for k, v in found.items() if v.rate_rule == "added"}
    assert {what.decay_rule for what in added.values()} == {"low rank", "kernel"}
    assert all(what.group == "base" and what.scale == 1.0 for what in added.values())


def test_all_unknown_paths_are_named():
    tree = {"image_encoder": {"trunk": {"stem": {"kernel": 1}}}, "no_mem_embed": 2, "text": 3}
    with pytest.raises(ValueError) as error:
        parameter_rules.treatments(tree, 12)
    message = str(error.value)
    assert "'image_encoder/trunk/stem/kernel': expected one rule for its rate" in message
    assert "'text'" in message and "no_mem_embed" not in message


def test_a_trunk_longer_than_was_said_is_refused():
    with pytest.raises(ValueError, match="said to have 5 blocks"):
        parameter_rules.treatment("image_encoder/trunk/blocks_5/attn/qkv/kernel", 5, 0.9)


def test_the_table_counts_everything():
    params, blocks = _params("tiny")
    lines = parameter_rules.table(params, blocks, 0.9).splitlines()
    cells = [line.split() for line in lines[1:]]
    assert sum(int(row[-3]) for row in cells) == 471
    assert sum(int(row[-2].replace(",", "")) for row in cells) == 38_962_754
    assert any(
        line.startswith("trunk block ") and "image_encoder x 0.9000" in line for line in lines
    )
