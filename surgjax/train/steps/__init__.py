"""Loss functions of a whole training step, one file per kind of supervision."""
