"""Prepared data sets in, training batches out.

Path:    tfds_builders -> [data] -> train
"""
