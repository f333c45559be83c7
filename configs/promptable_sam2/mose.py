r"""SAM 2.1's public training recipe: base_plus fine-tuned on MOSE, the values of its own config.

  python -m experiments.prepare_data --dataset=davis_folder --manual_dir=MOSE_WITH_SPLITS \
    --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/mose.py \
    --config.init.checkpoint=sam2.1_hiera_base_plus.pt --data=DATA --workdir=RUN_DIR
MOSE has the layout of DAVIS; ImageSets/train.txt and val.txt name the videos. Eight cards of 80 GB
in the original: one clip each. The export is the running mean, which the original does not have;
--config.loop.ema_decay=0 exports the last weights. `:debug` takes two tiny steps on a drawn folder.
Expect: not run here. The reference's README states J&F 79.4 on MOSE val for its own training.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common

VIDEOS, EPOCHS, REPEATS, BATCH = 1507, 40, 2, 8


def get_config(mode: str = "full") -> ConfigDict:
    c = common.finetuning("base_plus", 1024, BATCH)
    c.train_data.clip.sets = ({"name": "davis_folder", "split": "train"},)
    c.train_data.clip.augment.update(p_grey=0.05, jitter=(0.1, 0.03, 0.03))
    c.train_data.clip.augment.update(frame_jitter=(0.1, 0.05, 0.05))
    c.stages = ({"steps": VIDEOS * REPEATS * EPOCHS // BATCH, "shares": {"clip": 1.0}},)
    c.prompts.loss_size = 1024
    c.eval.set = {"name": "davis_folder", "split": "val"}
    return common.finish(c, common.split_modes(mode, ()))
