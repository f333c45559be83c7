r"""SAM 2.1 tiny fine-tuned on your own cases: a folder in the layout of DAVIS 2017.

  python -m experiments.prepare_data --dataset=davis_folder --manual_dir=FOLDER --data_dir=DATA
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/davis_folder.py \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA --workdir=RUN_DIR
On one small card: --config.recipe=decoder_only or lora, --config.micro_batches=4. Without
ImageSets/val.txt there is no split `val`: --config.eval.set.split=train scores what was trained on.
`:debug` takes two tiny steps on a drawn folder.
Expect: depends on the cases.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common


def get_config(mode: str = "full") -> ConfigDict:
    c = common.finetuning()
    c.train_data.clip.sets = ({"name": "davis_folder", "split": "train"},)
    c.train_data.clip.sampler.update(kind="strided", strides=(1, 4), p_reverse=0.5)
    c.stages = ({"steps": 1000, "shares": {"clip": 1.0}},)
    c.eval.set = {"name": "davis_folder", "split": "val"}
    return common.finish(c, common.split_modes(mode, ()))
