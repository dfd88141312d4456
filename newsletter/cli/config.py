"""`newsletter config`: what the configuration is, and whether it holds."""

from __future__ import annotations

import argparse
import json
from typing import Any

from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop
from newsletter.config import SECRET_NAMES
from newsletter.masking import mask_password


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show` and `check`."""
    parser.add_argument("action", choices=("show", "check"), help="show every key with its value, or only check")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Print the configuration as TOML, or that it can be used. No secret is ever printed."""
    settings, console = workshop.settings, workshop.console
    place = str(settings.file) if settings.file else "no file: the defaults"
    if arguments.action == "check":
        _check_parts(workshop)
        console.say(
            f"{place}: {len(settings.config.sources)} sources, {len(settings.config.topics)} topics, all keys good"
        )
        console.finish({"file": str(settings.file or ""), "ok": True})
        return Exit.DONE
    console.say(f"# {place}")
    shown = _without_passwords(settings.config.model_dump())
    for line in toml_lines(shown):
        console.say(line)
    console.say()
    for name in SECRET_NAMES:
        console.say(f"# {name}: {'set' if settings.secrets.get(name) else 'not set'}")
    secrets = {name: bool(settings.secrets.get(name)) for name in SECRET_NAMES}
    console.finish({"file": str(settings.file or ""), "config": shown, "secrets": secrets})
    return Exit.DONE


def _check_parts(workshop: Workshop) -> None:
    """What only the parts know: whether provider, sections, kinds of sources and the owner's templates are good."""
    from newsletter import sections, sources
    from newsletter.config import ConfigError

    workshop.provider()
    workshop.renderer().check()
    known = sections.names()
    for section in workshop.config.writing.sections:
        if section not in known:
            raise ConfigError(f"`writing.sections`: there is no section {section!r}; known: {', '.join(known)}")
    for source in workshop.config.sources:
        if source.kind and source.kind not in sources.kinds():
            raise ConfigError(f"`sources.kind`: there is no kind {source.kind!r}; known: {', '.join(sources.kinds())}")


def _without_passwords(value: Any) -> Any:
    """The configuration with every password that stands in a URL left out."""
    if isinstance(value, dict):
        return {key: _without_passwords(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_passwords(inner) for inner in value]
    return mask_password(value) if isinstance(value, str) else value


def toml_lines(tables: dict[str, Any]) -> list[str]:
    """The configuration as lines of TOML that give the same configuration again."""
    lines: list[str] = []
    for name, table in tables.items():
        members = table if isinstance(table, list | tuple) else [table]
        header = f"[[{name}]]" if isinstance(table, list | tuple) else f"[{name}]"
        for member in members:
            lines += ["", header, *(f"{key} = {toml_value(value)}" for key, value in member.items())]
    return lines


def toml_value(value: Any) -> str:
    """A value as TOML writes it; JSON's texts, numbers and lists of them are TOML's too."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
