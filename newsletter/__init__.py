"""A self-hosted newsletter that reads the field for its owner."""

__version__ = "0.1.0"
