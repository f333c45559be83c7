r"""Tiny (512 px) from nothing on generated surgical scenes, as `generated_nano` but for a GPU.

  python -m surgjax.synthetic.build --out CLEAR --preset clear --size 512 \
    --images 20000 --clips 2000
  python -m experiments.promptable_sam2.main --config configs/promptable_sam2/generated_tiny.py \
    --data=CLEAR --workdir=RUN_DIR
From SAM 2.1's weights instead: --config.init.checkpoint=sam2.1_hiera_tiny.pt. `:debug` takes two
tiny steps on scenes it makes itself.
Expect: not run; two CPU cores would need days.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import generated_nano


def get_config(mode: str = "full") -> ConfigDict:
    c = generated_nano.get_config(mode)
    if mode == "debug":
        return c
    c.model.variant, c.model.image_size = "tiny", 512
    for name, kind in c.train_data.items():
        if name != "folder":
            kind.size *= 2
    c.train_data.small.batch = c.train_data.dense.batch = 32
    c.stages = (
        {"steps": 1000, "shares": {"shapes": 1.0}},
        {"steps": 20_000, "shares": {"small": 0.5, "small_clip": 0.5}},
        {"steps": 30_000, "shares": {"image": 0.5, "clip": 0.5}},
    )
    c.prompts.remat = "full"
    c.optim.lr = 1e-3
    c.loop.update(checkpoint_every=500, eval_every=2000)
    return c
