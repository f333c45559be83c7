r"""SAM 2.1 tiny fine-tuned on EndoVis 2018: instrument types (ISINet's), or the whole scene.

  python -m experiments.prepare_data --dataset=endovis18/types --manual_dir=ARCHIVE --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/endovis18.py \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA --workdir=RUN_DIR
`:scene` takes the eleven classes of the scene; `:debug` two tiny steps on a drawn archive.
Expect: not run on the data set, which needs registration; no figure is known.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common

KINDS = ("types", "scene")


def get_config(mode: str = "full") -> ConfigDict:
    modes = common.split_modes(mode, KINDS)
    name = "endovis18/" + next((each for each in modes if each in KINDS), "types")
    c = common.finetuning()
    c.train_data.clip.sets = ({"name": name, "split": "train"},)
    c.train_data.clip.sampler.update(p_reverse=0.5)
    c.eval.set = {"name": name, "split": "val"}
    return common.finish(c, modes)
