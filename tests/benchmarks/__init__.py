"""Measurements that need the torch reference; run by hand, not by pytest."""
