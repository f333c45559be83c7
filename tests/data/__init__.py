"""Tests of prepared data sets and the input pipeline."""
