"""Written by tools/workspace.py from packages.toml."""

__version__ = "0.1.0"
