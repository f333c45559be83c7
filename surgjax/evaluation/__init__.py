"""Protocols that score folders and models, and the reports they write."""
