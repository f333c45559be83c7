r"""The bundled nano on generated scenes that nothing is trained on: needs no data.

  python -m experiments.evaluate_model --config=configs/evaluation/generated.py --output=REPORT_DIR
Append `:debug` to the config path for two clips of 4 frames and untrained weights.
Expect: see docs/model_card_nano.md.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    c = ConfigDict()
    c.system = "promptable_sam2"
    c.model = {"checkpoint": "nano", "image_size": 0, "precision": "fp32", "random_weights": False}
    c.data = {"kind": "generated", "preset": "simple", "seed": 40_000_000}
    c.data.update(count=8, frames=32, size=256, fps=25.0, videos=())
    # mask, box, 1-click, 3-click, 5-click: on the first frame that shows an object; offline, online
    c.prompts = {"kind": "mask", "use_all_masks": False}
    # of kinds offline and online: a simulated user who corrects the masks
    c.prompts.update(start="3-click", rounds=8, clicks=3, threshold=0.75)
    c.memory, c.memory_options = "recent", ""  # see docs/memory_policies.md
    c.protocol, c.keep_first_and_last, c.per_object_png = "davis17", False, False
    c.horizons_s = (0.2, 0.5, 1.0)
    if mode == "debug":
        c.model.update(checkpoint="debug", image_size=64, random_weights=True)
        c.data.update(count=2, frames=4, size=64)
    return c
