"""`newsletter sources`: list, add, test and import sources."""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop
from newsletter.cli.config import toml_value
from newsletter.config import DEFAULT_SOURCES, SourceConfig, line_of, load
from newsletter.masking import mask_password

if TYPE_CHECKING:
    from newsletter.sources import Reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the configured sources and when each was last read", parents=[everywhere()])
    add = actions.add_parser("add", help="read a feed once, and add it to the configuration", parents=[everywhere()])
    add.add_argument("url", metavar="URL")
    add.add_argument("--name", default="", help="what readers see; without it, the feed's title")
    add.add_argument("--no-test", action="store_true", help="add it without reading it first (needs --name)")
    actions.add_parser(
        "test", help="read a feed and show what it holds; stores nothing", parents=[everywhere()]
    ).add_argument("url", metavar="URL")
    actions.add_parser("import", help="add the feeds of an OPML file", parents=[everywhere()]).add_argument(
        "file", type=Path, metavar="FILE.opml"
    )


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action."""
    return int(_ACTIONS[arguments.action](arguments, workshop))


def _list(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter.store import sqlite_file
    from newsletter.store.tables import SourceStateRow

    console, listed = workshop.console, list[dict[str, Any]]()
    file = sqlite_file(workshop.settings.database_url)
    states: dict[str, SourceStateRow] = {}
    if file is None or file.is_file():
        with workshop.store(read_only=True) as store, store.read() as session:
            for source in workshop.config.sources:
                if state := session.get(SourceStateRow, source.key):
                    states[source.key] = state
    for source in workshop.config.sources:
        said = _state(states.get(source.key))
        url = mask_password(source.url)
        console.say(f"{source.name}  {url}\n    {said}")
        listed.append({"name": source.name, "url": url, "kind": source.kind, "weight": source.weight, "state": said})
    console.finish({"sources": listed})
    return Exit.DONE


def _state(state: Any) -> str:
    if state is None:
        return "never read; `newsletter fetch` reads it"
    if state.is_gone:
        return "gone for good (410); remove it from the configuration"
    read = f"last read {state.read_at:%Y-%m-%d %H:%M} UTC" if state.read_at else "never read"
    if state.failures:
        return f"{read}; failed {state.failures} times in a row: {state.last_error}"
    return read


def _test(arguments: argparse.Namespace, workshop: Workshop) -> int:
    reading, console = _read(workshop, arguments.url), workshop.console
    console.say(f"{reading.title or 'Untitled'} ({reading.kind}): {len(reading.entries)} pieces")
    for entry in reading.entries[:10]:
        when = f"{entry.published:%Y-%m-%d}" if entry.published else "no date   "
        console.say(f"  {when}  {entry.title}")
    for line in reading.skipped:
        console.detail(f"  skipped: {line}")
    titles = [{"title": e.title, "url": e.url, "published": e.published} for e in reading.entries]
    console.finish({"title": reading.title, "kind": reading.kind, "pieces": titles, "skipped": list(reading.skipped)})
    return Exit.DONE


def _read(workshop: Workshop, url: str) -> Reading:
    """Read a feed once. Raises Stop with 75 when it cannot be had, with 2 when it is no feed."""
    from newsletter import sources
    from newsletter.fetching import Door, FetchError
    from newsletter.sandbox import Sandbox, SandboxError
    from newsletter.values import Source

    limits = workshop.config.fetching
    door = Door(allow=limits.allow, timeout_seconds=limits.timeout_seconds, contact=limits.contact)
    try:
        fetched = door.get(url, max_bytes=limits.max_feed_bytes)
        with Sandbox(workers=1) as sandbox:
            return sources.read(Source(url, url, url), fetched.body, fetched.content_type, sandbox.call)
    except FetchError as error:
        raise Stop(Exit.TRY_LATER if error.reason in ("down", "slow") else Exit.USAGE, f"{url}: {error}") from error
    except (sources.NotAFeed, SandboxError) as error:
        raise Stop(Exit.USAGE, f"{url}: {error}") from error


def _add(arguments: argparse.Namespace, workshop: Workshop) -> int:
    name = arguments.name
    if not arguments.no_test:
        reading = _read(workshop, arguments.url)
        name = name or reading.title
    if not name:
        raise Stop(Exit.USAGE, f"{mask_password(arguments.url)}: it has no title; give one with --name")
    added = _append(workshop, [(name, arguments.url)])
    workshop.console.say(f"added {name}" if added else f"{mask_password(arguments.url)} is configured already")
    workshop.console.finish({"added": [list(pair) for pair in added]})
    return Exit.DONE


def _import(arguments: argparse.Namespace, workshop: Workshop) -> int:
    found = feeds_of_opml(arguments.file)
    added = _append(workshop, found)
    for name, url in added:
        workshop.console.say(f"added {name}  {url}")
    workshop.console.say(f"{len(added)} of {len(found)} feeds added, {len(found) - len(added)} configured already")
    workshop.console.finish({"added": [list(pair) for pair in added], "found": len(found)})
    return Exit.DONE


def feeds_of_opml(file: Path) -> list[tuple[str, str]]:
    """Names and addresses of the feeds of an OPML file (OPML 2.0, "Subscription lists"), each address once.

    Raises Stop for a file that cannot be read or is no OPML.
    """
    try:
        root = ET.fromstring(file.read_bytes())
    except OSError as error:
        raise Stop(Exit.USAGE, f"{file}: cannot be read ({error.strerror})") from error
    except ET.ParseError as error:
        raise Stop(Exit.USAGE, f"{file}: not XML ({error}); export your feeds as OPML again") from error
    if root.tag != "opml":
        raise Stop(Exit.USAGE, f"{file}: not an OPML file, its first element is <{root.tag}>")
    found: dict[str, str] = {}
    for outline in root.iter("outline"):
        url = (outline.get("xmlUrl") or "").strip()
        if url.startswith(("http://", "https://")):
            found.setdefault(url, (outline.get("title") or outline.get("text") or url).strip())
    return [(name, url) for url, name in found.items()]


def _append(workshop: Workshop, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Append sources to the configuration file, those that it does not have. Returns what was added.

    The rest of the file, comments too, stays as it is.
    """
    file = workshop.settings.file
    if file is None:
        raise Stop(Exit.CONFIGURATION, "there is no newsletter.toml here to add it to; `newsletter init` makes one")
    have = {source.url for source in workshop.config.sources}
    added = [(name, url) for name, url in wanted if url not in have]
    if not added:
        return []
    text = file.read_text("utf-8-sig")
    tables = [SourceConfig(name=name, url=url) for name, url in added]
    if not line_of(text, ("sources", 0)):
        # Without a table of its own the file means the default sources: they must not vanish with the first addition.
        tables = [*DEFAULT_SOURCES, *tables]
    new = (
        text.rstrip("\n")
        + "\n"
        + "".join(f"\n[[sources]]\nname = {toml_value(t.name)}\nurl = {toml_value(t.url)}\n" for t in tables)
    )
    partial = file.with_suffix(".toml.new")
    partial.write_text(new, encoding="utf-8")
    try:
        load(partial, {})
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return added


_ACTIONS = {"list": _list, "add": _add, "test": _test, "import": _import}
