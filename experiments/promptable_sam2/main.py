r"""Trains and fine-tunes promptable SAM 2: `--config`, `--workdir`, and `--data` of your own.

Exit status 0: finished, and WORKDIR/export holds what `experiments.track --checkpoint` takes.
Exit status 75: SIGTERM came, the state is saved; the same command goes on.
A step that is not finite leaves WORKDIR/failures/step_N, which the same command with
`--replay WORKDIR/failures/step_N` computes again.
"""

import jax
from absl import app, flags
from ml_collections import config_flags

from experiments import process_flags
from experiments.promptable_sam2 import running

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints and logs.", required=True)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "Folder of prepared sets, or of shards (a,b), as the config asks; sets train_data.folder.",
)
_COMPILE_CACHE = flags.DEFINE_string("compile_cache", None, "Folder that keeps compiled steps.")
_REPLAY = flags.DEFINE_string("replay", None, "Folder of a failed step: computes it again.")


def main(_):
    if _COMPILE_CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _COMPILE_CACHE.value)
    config = _CONFIG.value
    if config is None:
        raise app.UsageError("--config is missing: a file of configs/promptable_sam2.")
    if _DATA.value:
        config.train_data.folder = _DATA.value
    running.check(config)
    process_flags.start()
    if _REPLAY.value:
        running.replay_step(config, _REPLAY.value)
    else:
        running.run(config, _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
