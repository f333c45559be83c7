r"""Checks an archive of yours and turns it into training data.

  python -m experiments.prepare_data --dataset=endovis18 --manual_dir=ARCHIVE --data_dir=data
  python -m experiments.prepare_data --dataset=endovis18 --manual_dir=ARCHIVE --check_only
  python -m experiments.prepare_data --dataset=endovis18 --fake=fake_archive
  python -m experiments.prepare_data --list

`experiments.data_preparation` does the work.
"""

import dataclasses
import os
import sys
from typing import Any

from absl import app, flags, logging

from experiments.command import command
from experiments.data_preparation import PrepareOptions, run

flags.DEFINE_string("dataset", None, "NAME or NAME/CONFIG; --list names them.")
flags.DEFINE_string("manual_dir", None, "The archive, as the data set's README describes it.")
flags.DEFINE_string("data_dir", None, "Where prepared sets are kept.")
flags.DEFINE_bool("check_only", False, "Decode and check everything, build nothing.")
flags.DEFINE_string("fake", None, "Draw a small archive in the true layout into this folder.")
flags.DEFINE_bool("list", False, "Name every data set and its configs.")
flags.DEFINE_bool("partial", False, "The archive holds part of the set: build in spite of counts.")
flags.DEFINE_enum("on_corrupt", "stop", ("stop", "skip"), "A damaged image: stop, or leave it out.")
flags.DEFINE_enum("on_unknown_label", "stop", ("stop", "skip"), "A frame with a label of no class.")
flags.DEFINE_integer("side", None, "Shrink frames to this shorter side, in pixels.")
flags.DEFINE_integer("jobs", os.cpu_count() or 1, "Processes.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every config that is not in its class
    with command(
        "prepare_data",
        argv,
        errors=(RuntimeError,),
        interrupted="interrupted; what is built is kept, run again to go on.",
    ):
        names = [field.name for field in dataclasses.fields(PrepareOptions)]
        values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        sys.exit(run(PrepareOptions(**values)))


if __name__ == "__main__":
    app.run(main)
