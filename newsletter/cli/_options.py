"""The options that stand before or after any command and any action."""

from __future__ import annotations

import argparse
from pathlib import Path


def everywhere(default: object = argparse.SUPPRESS) -> argparse.ArgumentParser:
    """A parent parser with these options.

    Only the top parser gives them a ``default``: a parser below it would else overwrite what stood before the command
    (Python documentation, argparse, "argument_default").
    """
    flag = False if default is None else default
    common = argparse.ArgumentParser(add_help=False, argument_default=default)
    options = common.add_argument_group("options everywhere")
    options.add_argument("--config", type=Path, metavar="FILE", help="newsletter.toml, or the folder that holds it")
    options.add_argument("--json", action="store_true", default=flag, help="the whole result as JSON on stdout")
    options.add_argument("-q", "--quiet", action="store_true", default=flag, help="say only results and problems")
    options.add_argument("-v", "--verbose", action="store_true", default=flag, help="say more")
    options.add_argument("--debug", action="store_true", default=flag, help="show tracebacks")
    options.add_argument("--now", metavar="ISO", help="act as if it were this day and time")
    return common
