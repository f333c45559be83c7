r"""A folder in the layout of DAVIS, as SAM 2's script for it: the first mask of every object.

  python -m experiments.evaluate_model --config=configs/evaluation/davis.py --davis_root=DAVIS \
    --checkpoint=sam2.1_hiera_tiny.pt --output=REPORT_DIR
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    c = ConfigDict()
    c.system = "promptable_sam2"
    c.model = {"checkpoint": "nano", "image_size": 0, "precision": "fp32", "random_weights": False}
    # fps 0: what meta.json says
    c.data = {"kind": "davis", "folder": "", "split": "val", "fps": 0.0}
    c.data.update(videos=(), late_start=False)
    c.prompts = {"kind": "mask", "use_all_masks": False}
    # of kinds offline and online: a simulated user who corrects the masks
    c.prompts.update(start="3-click", rounds=8, clicks=3, threshold=0.75)
    c.memory, c.memory_options = "recent", ""  # see docs/memory_policies.md
    c.protocol, c.keep_first_and_last, c.per_object_png = "davis17", False, False
    c.horizons_s = (1.0, 2.0, 3.0)
    if mode == "debug":
        c.model.update(checkpoint="debug", image_size=64, random_weights=True)
    return c
