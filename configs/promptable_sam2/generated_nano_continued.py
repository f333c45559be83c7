r"""Nano from the weights of an earlier nano, on all five kinds of generated scenes.

  for WHAT in "abdomen 2000 150 3400000" "surgery 500 100 3500000" "wide 1000 50 0" \
      "clear 1000 200 3000000" "simple 1000 100 3200000"; do set -- $WHAT
    python -m surgjax.synthetic.build --out $1 --preset $1 --images $2 --clips $3 --seed $4; done
  python -m experiments.promptable_sam2.main \
    --config configs/promptable_sam2/generated_nano_continued.py \
    --config.init.checkpoint FIRST.safetensors --data abdomen,surgery,wide,clear,simple \
    --workdir RUN_DIR
FIRST comes from configs/promptable_sam2/generated_nano.py, which starts from nothing.
Append `:debug` to the config path for two tiny steps on a CPU, without shards and from nothing.
Expect: see docs/model_card_nano.md, which also says what other data gave.
"""

from ml_collections import ConfigDict

from configs.promptable_sam2 import generated_nano


def get_config(mode: str = "full") -> ConfigDict:
    c = generated_nano.get_config(mode)
    if mode == "debug":
        return c
    c.init.checkpoint = "nano"
    c.prompts.auxiliary_weight = 0.0  # a new dense head would shake the encoder for 60 steps
    c.stages = ({"steps": 2800, "shares": {"image": 0.9, "clip": 0.1}},)
    c.optim.update(lr=1.2e-3, final_lr=1e-5, warmup_steps=60)
    c.eval = {"images": 30, "clips": 0, "pictures": 0, "scenes": "abdomen"}
    return c
