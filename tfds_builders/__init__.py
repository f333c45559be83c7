"""TFDS dataset builders. None exists yet: README.md in this folder says what comes and when."""
