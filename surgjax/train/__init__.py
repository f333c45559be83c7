"""A plain training loop: batches, one compiled step per kind of batch, metrics, checkpoints."""

from surgjax.train.loop import Stage, fit
from surgjax.train.optimizers import OptimizerOptions, build_optimizer, learning_rate_schedule
from surgjax.train.state import TrainState, init_state

__all__ = [
    "OptimizerOptions",
    "Stage",
    "TrainState",
    "build_optimizer",
    "fit",
    "init_state",
    "learning_rate_schedule",
]
