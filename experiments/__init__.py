"""Launchers: `python -m experiments.<tool> --help`. Each parses flags and calls the library."""
