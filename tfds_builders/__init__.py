"""TFDS builders of surgical data sets, one folder each; README.md in this folder is their map."""
