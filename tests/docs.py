"""Makes the parts of README.md that the program itself can say: its tables, and what its commands print.

`scripts/docs` writes them; tests/test_docs.py holds the file to them. A table stands between two marks,
`<!-- its name -->` and `<!-- end -->`. In a `console` block each line that begins with `$` is run, all blocks
one after another in one new folder, as a reader who follows along would run them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

from newsletter import cli
from newsletter.cli._options import everywhere
from newsletter.cli.config import toml_value
from newsletter.config import ENVIRONMENT_PREFIX, SECRET_NAMES, keys

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SETTING_UP = "Setting up in .venv (once, about a minute) ..."
"""What the first run of a script says before anything else."""
TEST_COMMAND = "scripts/test"
CLOSING_LINES = 2
"""How much of the tests' output the README shows."""

_CONSOLE = re.compile(r"(?<=```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_MARKED = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def made(text: str) -> str:
    """The README with every table and every console block made anew; what the tests print stays as it is."""
    with_tables = _MARKED.sub(lambda found: marked(found[1]), text)
    with shell() as run:
        return _CONSOLE.sub(lambda block: _played(block[0], run), with_tables)


def marked(name: str) -> str:
    """The table of that name between its marks."""
    return f"<!-- {name} -->\n\n{TABLES[name]()}\n<!-- end -->"


def with_tests_output(text: str, output: str) -> str:
    """The README with the closing lines of what the tests printed."""
    shown = "\n".join(output.rstrip().splitlines()[-CLOSING_LINES:])
    below = re.compile(rf"(?<=^\$ {TEST_COMMAND}\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
    return below.sub(f"{shown}\n", text)


def commands_of(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that stands below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def console_blocks(text: str) -> list[str]:
    """What stands in the console blocks."""
    return _CONSOLE.findall(text)


def _played(block: str, run: Callable[[str], str]) -> str:
    return "".join(
        f"$ {command}\n{output if command == TEST_COMMAND else run(command)}" for command, output in commands_of(block)
    )


@contextlib.contextmanager
def shell() -> Iterator[Callable[[str], str]]:
    """Runs command lines in a new folder and gives what they print.

    A line is `newsletter` with its words, before them assignments and after them a pipe if need be; or
    `scripts/demo`. Nothing else of the newsletter is in the environment.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield _run


def _run(line: str) -> str:
    command, _, pipe = line.partition(" | ")
    words = shlex.split(command)
    assigned = {}
    while "=" in words[0]:
        name, _, assigned[name] = words.pop(0).partition("=")
    if words == ["scripts/demo"]:
        return f"{SETTING_UP}\n{_newsletter(['demo'], assigned)}"
    if words[0] != "newsletter":
        raise ValueError(f"{line!r} can only be shown, not run: it belongs into an sh block")
    output = _newsletter(words[1:], assigned)
    if not pipe:
        return output
    return subprocess.run(["sh", "-c", pipe], input=output, capture_output=True, text=True, check=True).stdout


def _newsletter(words: list[str], assigned: Mapping[str, str]) -> str:
    """What one command prints, on both streams."""
    private = {name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)} | set(SECRET_NAMES)
    environment = {name: value for name, value in os.environ.items() if name not in private} | dict(assigned)
    said = io.StringIO()
    with (
        patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        cli.main(words)
    return said.getvalue()


def usages() -> Iterator[tuple[str, str]]:
    """Every command and every action of one, as typed, each with its line of help."""
    shared = everywhere().format_usage().partition(" [")[2].strip()
    for name, line in cli.COMMANDS.items():
        parser = _parser(f"newsletter {name}")
        importlib.import_module(f"newsletter.cli.{name}").add_arguments(parser)
        actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not actions:
            yield _usage(parser, shared), line
        for action in actions:
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield from ((_usage(sub, shared), helps[key]) for key, sub in action.choices.items())


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=name, add_help=False)


def _usage(parser: argparse.ArgumentParser, shared: str) -> str:
    words = " ".join(parser.format_usage().removeprefix("usage: ").split())
    return words.replace("[-h] ", "").replace(f"[{' '.join(shared.split())}", "").replace("  ", " ").strip()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def commands_table() -> str:
    """Every command with its line of help."""
    return table(("command", "what it does"), ((f"`{usage}`", line) for usage, line in usages()))


def options_table() -> str:
    """The options that every command takes."""
    rows = []
    for option in everywhere()._actions:
        value = f" {option.metavar}" if option.metavar else ""
        rows.append((", ".join(f"`{name}{value}`" for name in option.option_strings), option.help or ""))
    return table(("option", "what it does"), rows)


def keys_table() -> str:
    """Every key of the configuration."""
    rows = []
    for name, default, description in keys():
        shown = "required" if default is None else f"`{toml_value(default)}`"
        rows.append((f"`{name}`", shown, description))
    return table(("key", "default", "what it is"), rows)


def secrets_table() -> str:
    """Every secret."""
    return table(("secret", "what it is"), ((f"`{name}`", purpose) for name, purpose in SECRET_NAMES.items()))


TABLES = {"commands": commands_table, "options": options_table, "keys": keys_table, "secrets": secrets_table}
"""Who makes the table of a name."""


def main() -> int:
    """Write README.md anew; then run the tests, and put their closing lines into it too."""
    README.write_text(made(README.read_text("utf-8")), "utf-8")
    tests = subprocess.run([ROOT / TEST_COMMAND], stdout=subprocess.PIPE, text=True)
    if tests.returncode:
        print(tests.stdout)
        return tests.returncode
    README.write_text(with_tests_output(README.read_text("utf-8"), tests.stdout), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
