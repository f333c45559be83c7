r"""SAM 2.1 tiny fine-tuned on CholecSeg8k: organs and instruments of cholecystectomy, by class.

  python -m experiments.prepare_data --dataset=cholecseg8k --manual_dir=ARCHIVE --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/cholecseg8k.py \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA --workdir=RUN_DIR
`:debug` takes two tiny steps on a drawn archive.
Expect: not run on the data set, which needs an account; no figure is known.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common


def get_config(mode: str = "full") -> ConfigDict:
    c = common.finetuning()
    # By operation, so that no patient of any set of the Cholec80 family is in two splits.
    c.train_data.clip.sets = ({"name": "cholecseg8k", "split": "train_global"},)
    # 25 frames a second, 80 frames a clip: strides give 8 frames up to 3 seconds.
    c.train_data.clip.sampler.update(kind="strided", strides=(1, 10), p_reverse=0.5)
    c.train_data.clip.sampler.objects = 4
    c.eval.set = {"name": "cholecseg8k", "split": "val_global"}
    return common.finish(c, common.split_modes(mode, ()))
