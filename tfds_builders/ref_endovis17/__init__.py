"""Ref-EndoVis17: sentences about the instruments of EndoVis 2017."""
