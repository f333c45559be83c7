"""Weights for a predictor: from a file, a folder, the bundled nano, or drawn at random.

Path:    name or path -> [weights] -> params, Sam2Config -> predictors
Units:   image_size in pixels.
Errors:  ValueError naming the variant or the file.
Source:  ours.
"""

from surgjax.models.sam2 import init_params
from surgjax.models.variants import Sam2Config, get_config


def load_weights(
    path_or_name: str, image_size: int | None, random_weights: bool
) -> tuple[dict, Sam2Config, str | None]:
    """Parameters, configuration and sha256 (None for random weights)."""
    if random_weights:
        config = get_config(path_or_name, image_size=image_size)
        return init_params(config), config, None
    from surgjax.checkpoints import load  # reading files is not needed for what is in memory

    loaded = load(path_or_name)
    config = loaded.config if image_size is None else loaded.config.replace(image_size=image_size)
    return loaded.params, config, loaded.sha256
