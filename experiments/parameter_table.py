"""Prints what the optimizer does with every parameter of a model: rate, decay, and what is trained.

python -m experiments.parameter_table --variant base_plus --recipe frozen_encoder
"""

from absl import app, flags

from surgjax.models import sam2, variants
from surgjax.train import parameter_rules, recipes

_VARIANT = flags.DEFINE_enum("variant", "tiny", tuple(variants.VARIANTS), "Model.")
_VERSION = flags.DEFINE_enum("version", "2.1", variants.VERSIONS, "Of SAM 2.")
_RECIPE = flags.DEFINE_list("recipe", ["full"], "Name of a recipe, or patterns (a,b).")
_LAYER_DECAY = flags.DEFINE_float("layer_decay", 0.9, "From one trunk block to the one before.")


def main(_):
    config = variants.get_config(_VARIANT.value, version=_VERSION.value)
    names = _RECIPE.value
    is_named = len(names) == 1 and names[0] in recipes.RECIPES
    recipe = recipes.get_recipe(names[0] if is_named else names)
    params = sam2.abstract_params(config)
    recipes.check(params, recipe)
    trained, _ = recipes.split(params, recipe)
    print(parameter_rules.table(trained, sum(config.stages), _LAYER_DECAY.value))
    print(recipes.summary(params, recipe))


if __name__ == "__main__":
    app.run(main)
