"""Whole models: variants and the wiring of their stages."""
