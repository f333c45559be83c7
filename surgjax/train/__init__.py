"""The training loop: batches, compiled steps, evaluation, checkpoints that any machine resumes."""

from surgjax.train.batch_sources import SourcedBatch
from surgjax.train.loop import LoopOptions, fit
from surgjax.train.optimizers import OptimizerOptions, build_optimizer, learning_rate_schedule
from surgjax.train.preemption import PREEMPTED_STATUS, Preempted
from surgjax.train.stages import Stage
from surgjax.train.state import TrainState, init_state

__all__ = [
    "PREEMPTED_STATUS",
    "LoopOptions",
    "OptimizerOptions",
    "Preempted",
    "SourcedBatch",
    "Stage",
    "TrainState",
    "build_optimizer",
    "fit",
    "init_state",
    "learning_rate_schedule",
]
