r"""Trains SAM2S from a config of configs/sam2s; flags and exit status as promptable_sam2.main's.

What SAM2S changes lies in the config (clips, soft labels) and in `surgjax`, so the run is the same.
"""

from absl import app

from experiments.promptable_sam2.main import main

if __name__ == "__main__":
    app.run(main)
