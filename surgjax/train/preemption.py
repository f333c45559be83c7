"""A notice that the machine will be taken away: the loop saves after its step and ends.

Path:    SIGTERM -> [preemption] -> loop -> exit status 75
Units:   none.
Errors:  Preempted, a SystemExit with status 75, leaves `fit` once the state is saved.
Source:  sysexits.h: 75, EX_TEMPFAIL, asks the caller to try again; 0 stays a finished run.
Differs: with several processes JAX's preemption service takes the signal, which may reach one of
         them only, and names a step at which all of them save.
"""

import signal
import threading
from types import FrameType

import jax
from absl import logging
from jax.experimental import multihost_utils

PREEMPTED_STATUS = 75


class Preempted(SystemExit):
    """The run was asked to end and its state is saved; start it again to go on."""

    def __init__(self, step: int):
        super().__init__(PREEMPTED_STATUS)
        self.step = step

    def __str__(self) -> str:
        return f"preempted; saved at step {self.step}, start again to go on."


class PreemptionNotice:
    """Listens to SIGTERM inside a `with`; schedulers may send it twice."""

    def __init__(self):
        self._is_asked = False
        self._before = None
        self._is_shared = jax.process_count() > 1

    def __enter__(self) -> "PreemptionNotice":
        if self._is_shared:  # a Python handler would take the signal away from JAX's service
            return self
        if threading.current_thread() is not threading.main_thread():
            logging.warning("not in the main thread: SIGTERM ends this run without saving.")
            return self
        self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(self, *_) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True  # no logging here: the step may hold its lock

    def is_due(self, step: int) -> bool:
        """Whether to save now and end; every process asks after every step, with the same step."""
        if self._is_shared:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._is_asked
