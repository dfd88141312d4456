"""`newsletter init`: make a configuration to start from. It never overwrites a file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop
from newsletter.cli.config import toml_value
from newsletter.config import DEFAULT_PRICES, DEFAULT_SOURCES, DEFAULT_TOPICS, FILE_NAME, SECRET_NAMES, Config

SECRETS_EXAMPLE = "secrets.env.example"
IGNORED = ("secrets.env", "data/")

_HEAD = """\
# The configuration of your newsletter. Every key has a default; `newsletter config show` prints them all.
# NEWSLETTER_SECTION__KEY in the environment overrides a key. Secrets do not belong here: see secrets.env.example.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="folder to make it in")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Write the files that are not there yet."""
    folder, console = arguments.folder, workshop.console
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [path for path, text in files(folder).items() if _write_new(path, text)]
    except OSError as error:
        raise Stop(
            Exit.CONFIGURATION, f"{folder}: cannot be written to ({error.strerror}); choose another folder"
        ) from error
    kept = [path for path in files(folder) if path not in written]
    for path in written:
        console.say(f"made {path}")
    for path in kept:
        console.say(f"kept {path}, which was there already")
    console.note(
        f"Next: put your name and topics into {folder / FILE_NAME}, "
        "then run `newsletter send --dry-run` in that folder."
    )
    console.finish({"made": [str(path) for path in written], "kept": [str(path) for path in kept]})
    return Exit.DONE


def files(folder: Path) -> dict[Path, str]:
    """What `init` writes, by path."""
    return {
        folder / FILE_NAME: starting_file(),
        folder / SECRETS_EXAMPLE: _secrets_example(),
        folder / ".gitignore": "".join(f"{name}\n" for name in IGNORED),
    }


def starting_file() -> str:
    """A configuration with what an owner changes first, and every other key as a comment with its default."""
    config, lines = Config(), [_HEAD]
    for section in Config.model_fields:
        if section in ("sources", "topics", "prices"):
            continue
        model = type(getattr(config, section))
        lines.append(f"[{section}]")
        for key, inner in model.model_fields.items():
            lines.append(f"# {inner.description}")
            active = (section, key) in _FIRST
            lines.append(f"{'' if active else '# '}{key} = {toml_value(getattr(getattr(config, section), key))}")
        lines.append("")
    for name, members in (("sources", DEFAULT_SOURCES), ("topics", DEFAULT_TOPICS), ("prices", DEFAULT_PRICES)):
        for member in members:
            lines.append(f"[[{name}]]")
            given = member.model_dump(exclude_defaults=True)
            lines += [f"{key} = {toml_value(value)}" for key, value in given.items()]
            lines.append("")
    return "\n".join(lines)


_FIRST = {("newsletter", "name"), ("newsletter", "tagline"), ("newsletter", "brief"), ("newsletter", "time_zone")}
"""Keys that stand ready to be changed, not as comments."""


def _secrets_example() -> str:
    lines = ["# Copy to secrets.env, fill in what you need, and `chmod 600 secrets.env`."]
    for name, purpose in SECRET_NAMES.items():
        lines += ["", f"# {purpose}", f"# {name}="]
    return "\n".join(lines) + "\n"


def _write_new(path: Path, text: str) -> bool:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
