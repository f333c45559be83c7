r"""SAM 2.1 tiny fine-tuned on CholecInstanceSeg: instruments of cholecystectomy, one by one.

  python -m experiments.prepare_data --dataset=cholecinstanceseg --manual_dir=ARCHIVE \
    --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/cholecinstanceseg.py \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA --workdir=RUN_DIR
`:debug` takes two tiny steps on a drawn archive.
Expect: not run on the data set, which needs an account; no figure is known.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common


def get_config(mode: str = "full") -> ConfigDict:
    c = common.finetuning()
    c.train_data.clip.sets = ({"name": "cholecinstanceseg", "split": "train_global"},)
    # Parts of the set have a mask every 30 seconds or so: frames without one are left out.
    c.train_data.clip.sampler.update(annotated_only=True, p_reverse=0.5)
    c.eval.set = {"name": "cholecinstanceseg", "split": "val_global"}
    return common.finish(c, common.split_modes(mode, ()))
