"""Runs the command line for `python -m newsletter`, which works in a checkout that nobody installed."""

import sys

from newsletter.cli import main

if __name__ == "__main__":
    sys.exit(main())
