"""`newsletter version`: which program this is."""

from __future__ import annotations

import argparse
import platform

from newsletter import __version__
from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Print the version of the program and of its interpreter."""
    workshop.console.say(f"newsletter {__version__} (Python {platform.python_version()})")
    workshop.console.finish({"version": __version__, "python": platform.python_version()})
    return Exit.DONE
