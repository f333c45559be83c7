r"""SAM 2.1 tiny fine-tuned on EndoVis 2017, seven instrument types, one of the four usual folds.

  python -m experiments.prepare_data --dataset=endovis17 --manual_dir=ARCHIVE --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/endovis17.py:fold0 \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA --workdir=RUN_DIR
`:fold1` to `:fold3` take the others; `:debug` two tiny steps on a drawn archive.
Expect: not run on the data set, which needs registration; no figure is known.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common

FOLDS = ("fold0", "fold1", "fold2", "fold3")


def get_config(mode: str = "full") -> ConfigDict:
    modes = common.split_modes(mode, FOLDS)
    fold = next((each for each in modes if each in FOLDS), "fold0")
    c = common.finetuning()
    c.train_data.clip.sets = ({"name": "endovis17", "split": f"train_{fold}"},)
    # 1 or 2 frames a second: neighbouring frames differ as much as SAM 2's, so no stride.
    c.train_data.clip.sampler.update(p_reverse=0.5)
    c.eval.set = {"name": "endovis17", "split": f"val_{fold}"}
    return common.finish(c, modes)
