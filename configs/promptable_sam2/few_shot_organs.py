r"""SurgiSAM2's protocol: organs from a few frames of each class, encoder and mask decoder trained.

  for SET in cholecseg8k dsad endoscapes2023/seg50; do
    python -m experiments.prepare_data --dataset=$SET --manual_dir=ARCHIVE_OF_$SET --data_dir=DATA
  done
  python -m experiments.promptable_sam2.main --workdir=RUN_DIR \
    --config configs/promptable_sam2/few_shot_organs.py:50 \
    --config.init.checkpoint=sam2.1_hiera_tiny.pt --data=DATA
`:50`, `:100`, `:200` and `:400` say how many frames of a class each set gives (fewer where it has
fewer); `:debug` takes two tiny steps on drawn archives. The paper's m2caiSeg and UreterUD have no
builder; which frames, rates and steps it took is not public, so those here are ours.
Expect: not run on the data sets, which need accounts; no figure is known.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import common

SETS = ("cholecseg8k", "dsad", "endoscapes2023/seg50")
SHOTS = ("50", "100", "200", "400")


def get_config(mode: str = "full") -> ConfigDict:
    modes = common.split_modes(mode, SHOTS)
    count = int(next((each for each in modes if each in SHOTS), "50"))
    c = common.finetuning(batch=8)
    shots = {"per_class": count, "seed": 0, "groups": "tissue", "allow_fewer": True}
    shots["spread"] = "videos"  # neighbouring frames of one operation look alike
    sets = tuple({"name": name, "split": "train", "shots": shots} for name in SETS)
    c.train_data.image = c.train_data.clip
    del c.train_data.clip
    c.train_data.image.update(kind="image", sets=sets, weighting="sqrt_masks")
    c.train_data.image.sampler.update(frames=1, objects=4)
    c.stages = ({"steps": 1000, "shares": {"image": 1.0}},)
    c.prompts.update(mask_probability=0.0, box_probability=0.25)
    c.prompts.update(conditioning_frames=1, corrected_frames=1, memory_dropout=False)
    c.prompts.update(given_answers=True)
    c.recipe = "encoder_decoder"
    c.optim.update(lr=1e-4, final_lr=1e-6, encoder_lr=1e-5, encoder_final_lr=1e-7)
    c.optim.update(warmup_steps=50, clip_norm=1.0)
    c.loop.update(best_metric="click_iou")
    c.eval.update(images=100, videos=0)
    c.eval.set = {"name": "cholecseg8k", "split": "val_global"}
    return common.finish(c, modes)
