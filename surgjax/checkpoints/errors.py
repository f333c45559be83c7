"""The one error every part of surgjax.checkpoints raises for a file it will not take.

Path:    any reader, table or writer -> [CheckpointError] -> command line or caller
Axes:    none.
Units:   none.
Errors:  this module defines them.
Source:  ours.
Differs: the torch loaders raise whatever zipfile, pickle or load_state_dict raise; one type with
         the file's name in front lets a command print one line instead of a traceback.
"""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, does not fit a known model, or cannot be written."""
