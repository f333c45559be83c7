r"""Nano (ours, 256 px) from nothing on generated surgical scenes.

  python -m surgjax.synthetic.build --out CLEAR --preset clear --images 11000 --clips 1300
  python -m surgjax.synthetic.build --out SIMPLE --preset simple --images 7000 --clips 500 \
    --seed 1000000
  python -m experiments.promptable_sam2.main \
    --config configs/promptable_sam2/generated_nano.py --data CLEAR,SIMPLE --workdir RUN_DIR
Append `:debug` to the config path for two tiny steps on a CPU, without shards.
Expect: not run in one piece yet. The bundled file came from several shorter runs that led here;
docs/model_card_nano.md lists them with their figures.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    c = ConfigDict()
    c.system, c.seed, c.dtype = "promptable_sam2", 0, "bfloat16"
    c.is_debug, c.mesh = mode == "debug", {"data": -1, "fsdp": 1}
    c.model = {"variant": "nano"}
    # From nothing, or from a `checkpoint` ("nano", a file, a folder), or an earlier `run`'s mean.
    c.init = {"checkpoint": "", "run": "", "from_nothing": True}
    c.init.update(tie_attention=True, localise_memory=True)
    c.train_data = {
        "folder": "",  # shards of surgjax.synthetic.build; several, separated by commas
        "shapes": {"kind": "shapes", "size": 128, "batch": 1, "objects": 64},
        "dense": {"kind": "dense", "size": 128, "batch": 16, "objects": 4},
        "small": {"kind": "image", "size": 128, "batch": 16, "objects": 4},
        "image": {"kind": "image", "size": 256, "batch": 8, "objects": 4, "p_parts": 0.2},
        "small_clip": {"kind": "clip", "size": 128, "batch": 4, "objects": 4, "frames": 4},
        "clip": {"kind": "clip", "size": 256, "batch": 2, "objects": 4, "frames": 6},
    }
    c.train_data.clip.p_cut = 0.15
    c.stages = (  # steps, and the share of each kind of batch in them
        {"steps": 500, "shares": {"shapes": 1.0}},
        {"steps": 3500, "shares": {"small": 0.5, "small_clip": 0.5}},
        {"steps": 7500, "shares": {"image": 0.75, "clip": 0.25}},
    )
    c.prompts = {
        "box_probability": 0.5,
        "exact_box_probability": 0.5,
        "mask_probability": 0.15,
        "corrections": 0,
        "other_mask_weight": 0.5,
    }
    c.prompts.auxiliary_weight = 1.5
    # Cross-entropy and dice: SAM 2's 20 x focal + dice leaves a model without pretraining empty.
    c.loss = {"focal": 2.0, "dice": 2.0, "iou": 1.0, "object_score": 1.0}
    c.loss.update(focal_alpha=-1.0, focal_gamma=0)
    # What is trained: a recipe's name, or patterns of paths; adapters of the recipe "lora".
    c.recipe, c.lora, c.micro_batches = "full", {"rank": 8, "alpha": 16.0}, 1
    c.optim = {"name": "muon", "lr": 2.5e-3, "adam_ratio": 0.4, "final_lr": 2e-5}
    c.optim.update(warmup_steps=200, weight_decay=0.05, clip_norm=1.0)
    c.loop = {"ema_decay": 0.995, "log_every": 20, "checkpoint_every": 100, "eval_every": 500}
    c.loop.update(keep_latest=2, keep_best=1, best_metric="box_iou")
    c.eval = {"images": 40, "clips": 0, "pictures": 6, "scenes": "simple"}  # held out, averaged
    if mode == "debug":
        c.dtype = "float32"
        c.model.variant = "debug"
        c.train_data.shapes.update(size=64, batch=1, objects=4)
        c.train_data.dense.update(size=64, batch=1, objects=2)
        c.train_data.small.update(size=64, batch=2, objects=2)
        c.train_data.image.update(size=64, batch=2, objects=2)
        c.train_data.small_clip.update(size=64, batch=1, objects=2, frames=2)
        c.train_data.clip.update(size=64, batch=1, objects=2, frames=3)
        c.stages = ({"steps": 1, "shares": {"shapes": 1.0}}, {"steps": 1, "shares": {"clip": 1.0}})
        c.prompts.corrections = 1
        c.loop.update(log_every=1, checkpoint_every=1, eval_every=2)
        c.eval.update(images=1, pictures=1)
    return c
