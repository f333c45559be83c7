r"""Nano from the weights of an earlier nano, on scenes that look like a laparoscopy.

  build() {
    python -m surgjax.synthetic.build --out $1 --preset $1 --images $2 --clips $3 --seed $4
  }
  build abdomen 2000 150 3400000; build surgery 500 100 3500000; build wide 1000 50 0
  build clear 1000 200 3000000; build simple 1500 100 3200000
  DATA=abdomen,surgery,wide,clear,simple
  python -m experiments.promptable_sam2.main --workdir PART_8 --data $DATA \
    --config configs/promptable_sam2/generated_nano_continued.py --config.init.checkpoint=FIRST
  python -m experiments.promptable_sam2.main --workdir PART_9 --data $DATA \
    --config configs/promptable_sam2/generated_nano_continued.py:anneal --config.init.run=PART_8
  python -m experiments.promptable_sam2.export --workdir PART_9 --blend FIRST --share 0.6 \
    --output SECOND.safetensors --dtype float16
  python -m experiments.promptable_sam2.main --workdir PART_10 --data $DATA \
    --config configs/promptable_sam2/generated_nano_continued.py:clicks \
    --config.init.checkpoint=SECOND.safetensors
  python -m experiments.promptable_sam2.export --workdir PART_10 --blend SECOND.safetensors \
    --share 0.5 --output nano.safetensors --dtype float16
FIRST is what generated_nano.py gave. PART_8 was stopped by SIGTERM at step 814 of 2,000.
Append `:debug` to the config path for two tiny steps on a CPU, without shards and from nothing.
Expect: 0.73 on the EndoVis boxes after about two hours of two shared CPU cores; every
figure, and what other choices gave, in docs/model_card_nano.md.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import generated_nano


def get_config(mode: str = "full") -> ConfigDict:
    c = generated_nano.get_config(mode if mode == "debug" else "full")
    if mode == "debug":
        return c
    c.prompts.auxiliary_weight = 0.0  # a new dense head would shake the encoder for 60 steps
    if mode == "anneal":  # from the mean of part 8
        c.stages = ({"steps": 650, "shares": {"image": 1.0}},)
        c.optim.update(lr=7e-4, final_lr=1e-5, warmup_steps=5)
    elif mode == "clicks":  # two corrective clicks on every prompted frame
        c.init.checkpoint = "nano"
        c.stages = ({"steps": 500, "shares": {"image": 0.85, "clip": 0.15}},)
        c.optim.update(lr=4e-4, final_lr=1e-5, warmup_steps=20)
        c.prompts.corrections = 2
    else:
        c.init.checkpoint = "nano"
        c.stages = ({"steps": 2000, "shares": {"image": 1.0}},)
        c.optim.update(lr=1.2e-3, final_lr=1e-4, warmup_steps=40)
    c.loop.update(ema_decay=0.98 if mode == "clicks" else 0.95)
    c.eval = {"images": 30, "clips": 0, "pictures": 0, "scenes": "abdomen"}
    return c
