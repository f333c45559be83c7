r"""Nano (ours, 256 px) from scratch on generated surgical scenes.

  python -m surgjax.synthetic.build --out SHARDS --images 12000 --clips 1500
  python -m experiments.promptable_sam2.main \
    --config configs/promptable_sam2/generated_nano.py \
    --config.train_data.folder=SHARDS --workdir RUN_DIR
Append `:debug` to the config path for two tiny steps on a CPU, without shards.
Expect: the table of docs/model_card_nano.md, after about 90 minutes on two CPU cores.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    c = ConfigDict()
    c.system, c.seed, c.dtype = "promptable_sam2", 0, "bfloat16"
    c.model = {"variant": "nano"}
    c.init = {"tie_attention": True}
    c.train_data = {
        "folder": "",  # shards of surgjax.synthetic.build; several, separated by commas
        "shapes": {"kind": "shapes", "size": 128, "batch": 1, "objects": 64},
        "small": {"kind": "image", "size": 128, "batch": 16, "objects": 4},
        "image": {"kind": "image", "size": 256, "batch": 8, "objects": 4},
        "clip": {"kind": "clip", "size": 256, "batch": 2, "objects": 2, "frames": 4},
    }
    c.stages = (  # steps, and the share of each kind of batch in them
        {"steps": 500, "shares": {"shapes": 1.0}},
        {"steps": 1800, "shares": {"small": 1.0}},
        {"steps": 1700, "shares": {"image": 0.5, "clip": 0.5}},
    )
    c.prompts = {"box_probability": 0.6, "corrections": 0, "other_mask_weight": 0.5}
    # Cross-entropy and dice: SAM 2's 20 x focal + dice leaves a model without pretraining empty.
    c.loss = {"focal": 2.0, "dice": 2.0, "iou": 1.0, "object_score": 1.0}
    c.loss.update(focal_alpha=-1.0, focal_gamma=0)
    c.optim = {"lr": 1e-3, "final_lr": 1e-5, "warmup_steps": 200, "weight_decay": 0.05}
    c.optim.clip_norm = 1.0
    c.ema_decay, c.log_every, c.checkpoint_every = 0.998, 20, 100
    if mode == "debug":
        c.dtype = "float32"
        c.model.variant = "debug"
        c.train_data.shapes.update(size=64, batch=1, objects=4)
        c.train_data.small.update(size=64, batch=2, objects=2)
        c.train_data.image.update(size=64, batch=2, objects=2)
        c.train_data.clip.update(size=64, batch=1, objects=2, frames=3)
        c.stages = ({"steps": 1, "shares": {"shapes": 1.0}}, {"steps": 1, "shares": {"clip": 1.0}})
        c.prompts.corrections = 1
        c.log_every, c.checkpoint_every = 1, 1
    return c
