"""`newsletter demo`: the whole job on bundled samples, offline and without a key.

It runs the same stages as `fetch`, `build` and `send`. Only three parts are its own: two sample feeds on a loopback
port, a door whose names lead there and nowhere else, and a clock that stands on the samples' day, so that every run
makes the same issue.
"""

from __future__ import annotations

import argparse
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli import _report
from newsletter.cli._console import Console
from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop
from newsletter.cli.fetch import tell
from newsletter.cli.preview import open_page
from newsletter.config import Config, Secrets, Settings

if TYPE_CHECKING:
    from newsletter.fetching import Door
    from newsletter.pipeline import Press
    from newsletter.previews import Preview
    from newsletter.store import Store

MARK = ".newsletter-demo"
"""Stands in a folder that a demo made, and may make again."""
CONSENT = "A sample reader; nobody of that address exists."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and whether to open the preview."""
    parser.add_argument("--out", type=Path, default=Path("newsletter-demo"), metavar="DIR", help="folder to write to")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Make an issue from the samples, show it, and hand it over as files."""
    from newsletter import samples

    folder = arguments.out.absolute()
    _clear(folder)
    settings = Settings(_config(), folder, None, Secrets({}))
    with samples.serve() as port:
        sample = Workshop(arguments, settings, make_door=lambda config: _door(config, port), now=samples.DAY)
        with sample.store() as store:
            page = _run(sample, store, folder)
    if not arguments.no_open:
        open_page(workshop, page.as_uri())
    return Exit.DONE


def _run(workshop: Workshop, store: Store, folder: Path) -> Path:
    """The stages, each with what it did. Returns the path of the preview page."""
    from newsletter import pipeline, previews

    console, press = workshop.console, workshop.press(store)
    console.say("Two sample feeds, five sample readers, no key; nothing leaves this machine.\n")
    subscribe(store, press)
    with workshop.intake(store) as intake:
        pipeline.fetch(press, intake, lambda report: tell(console, report, "Fetch"))
    built = pipeline.build(press, workshop.desk(store))
    if built.number is None:
        raise RuntimeError(f"the samples make no issue: {built.reason}")
    with store.read() as session:
        preview = previews.prepare(press, session, built.number)
    page = previews.write(press, preview, folder / "preview")
    _tell(console, preview)
    pipeline.freeze(press, built.number)
    provider = workshop.provider()
    counts = pipeline.send(press, built.number, provider)
    _report.sent(console, preview.issue.title, provider.name, counts, preview.skipped)
    console.row("Mails", _shown(workshop.settings.outbox))
    console.row("Preview", _shown(page))
    console.finish(
        {**previews.report(preview), "states": counts, "outbox": str(workshop.settings.outbox), "preview": str(page)}
    )
    return page


def subscribe(store: Store, press: Press) -> None:
    """Take in the sample readers, as an owner would who holds their consent."""
    import subscribers
    from newsletter import samples
    from subscribers import Format, Preferences

    with store.write() as session:
        for reader in samples.SUBSCRIBERS:
            chosen = None if reader.topics is None else frozenset(reader.topics)
            subscribers.add(
                session,
                reader.address,
                now=press.clocks.now(),
                how="demo",
                consent_text=CONSENT,
                name=reader.name,
                preferences=Preferences(topics=chosen, format=Format(reader.format)),
                active=True,
            )


def _tell(console: Console, preview: Preview) -> None:
    """What was selected and left out, and who gets which edition."""
    count, chosen = len(preview.issue.pieces), preview.selection["chosen"]
    console.row("Select", f"{count} of {count + len(preview.selection['left_out'])} pieces are worth sending")
    for number, choice in enumerate(chosen, 1):
        console.row("", f"{number}. {choice['title']}")
    for choice in preview.selection["left_out"]:
        console.row("Left out", f"{choice['title']}: {choice['why']}")
    writers = sorted({entry.summary.writer for entry in preview.issue.pieces})
    console.row("Write", f"{count} summaries by {' and '.join(writers)}, {preview.issue.minutes} minutes of reading")
    for edition in preview.editions:
        readers = f"{edition.readers} {'reader' if edition.readers == 1 else 'readers'}"
        console.row(
            f"Edition {edition.name}",
            f"{len(edition.piece_ids)} {'piece' if len(edition.piece_ids) == 1 else 'pieces'} for {readers} "
            f"({'; '.join(edition.follows)}), {edition.sizes['html'] / 1000:.1f} kB",
        )


def _config() -> Config:
    """The defaults, with the samples' sources, state beside the mails, and a sender that is complete."""
    from newsletter import samples

    return Config.model_validate(
        {
            "sources": [{"name": source.name, "url": source.url} for source in samples.SOURCES],
            "data": {"folder": "."},
            "delivery": {"postal_address": "AI Research Digest, 1 Example Street, Example Town"},
            "selection": {"max_pieces": 6},
            "writing": {"writer": "excerpts"},
        }
    )


def _door(config: Config, port: int) -> Door:
    """A door that finds the samples' hosts on a loopback port, and nothing else anywhere."""
    from newsletter import samples
    from newsletter.fetching import Door

    hosts = (samples.FIELD_NOTES_HOST, samples.QUARTERLY_HOST)

    def resolve(host: str, wanted: int) -> list[str]:
        if host not in hosts:
            raise OSError(f"the demo knows no {host}")
        return ["127.0.0.1"]

    def connect(address: str, wanted: int, timeout: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout)

    return Door(
        allow=tuple(f"{host}:80" for host in hosts),
        timeout_seconds=config.fetching.timeout_seconds,
        resolve=resolve,
        connect=connect,
    )


def _clear(folder: Path) -> None:
    """Make the folder, or empty one that an earlier demo made. Raises Stop for a folder with anything else in it."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            raise Stop(Exit.USAGE, f"{folder} holds files that no demo made; choose another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        (folder / MARK).touch()
    except OSError as error:
        raise Stop(Exit.USAGE, f"{folder}: {error.strerror}; choose another folder with --out") from error


def _shown(path: Path) -> str:
    """A path as a person types it: relative when it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
