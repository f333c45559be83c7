r"""A checkpoint on a split of a prepared set, prompted by a box.

  python -m experiments.evaluate_model --config=configs/evaluation/prepared.py --data=DATA \
    --checkpoint=RUN_DIR/export --output=REPORT_DIR
Another set: --config.data.set=cholecseg8k --config.data.split=test.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    c = ConfigDict()
    c.system = "promptable_sam2"
    c.model = {"checkpoint": "nano", "image_size": 0, "precision": "fp32", "random_weights": False}
    c.data = {"kind": "prepared", "folder": "", "set": "endovis17", "split": "val_fold0"}
    c.data.update(videos=(), fps=0.0)  # fps 0: the set's own
    c.prompts = {"kind": "box", "use_all_masks": False}
    # of kinds offline and online: a simulated user who corrects the masks
    c.prompts.update(start="3-click", rounds=8, clicks=3, threshold=0.75)
    c.memory, c.memory_options = "recent", ""  # see docs/memory_policies.md
    c.protocol, c.keep_first_and_last, c.per_object_png = "sav", False, False
    c.horizons_s = (1.0, 5.0, 10.0, 30.0, 60.0)
    if mode == "debug":
        c.model.update(checkpoint="debug", image_size=64, random_weights=True)
    return c
