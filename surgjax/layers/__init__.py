"""Layers shared by several rooms: linear, norms, MLPs, attention, position encodings."""
