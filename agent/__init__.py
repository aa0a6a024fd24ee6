"""The daemon of a renzheng terminal."""

__version__ = "0.1.0"
