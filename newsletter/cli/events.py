"""`newsletter events`: read what came back by mail, import what a provider reported, and list what is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop

if TYPE_CHECKING:
    from newsletter.events import Recorded
    from newsletter.store import Store

LONGEST_FILE = 200_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    reading = actions.add_parser("read", help="read a mailbox for bounces, complaints and noes", parents=[everywhere()])
    reading.add_argument(
        "mailbox", metavar="MAILBOX", help="imaps://user@host/INBOX, or the path of a Maildir or an mbox file"
    )
    reading.add_argument("--delete", action="store_true", help="delete mails that were understood; else they are kept")
    importing = actions.add_parser("import", help="import SendGrid's events from a file", parents=[everywhere()])
    importing.add_argument("file", type=Path, metavar="FILE", help="JSON: an array, or one event a line")
    listing = actions.add_parser("list", help="how many of each kind, and the newest", parents=[everywhere()])
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many of the newest (20)")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action."""
    with workshop.store(read_only=arguments.action == "list") as store:
        return int(_ACTIONS[arguments.action](arguments, workshop, store))


def _read(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import pipeline
    from newsletter.events.collecting import collect
    from newsletter.events.mailboxes import open_mailbox
    from newsletter.events.mails import LedgerClues

    config, links = workshop.config, workshop.press(store).tokens
    sender, return_path = pipeline.sender(config), config.smtp.return_path
    password = workshop.settings.secrets.get("NEWSLETTER_MAILBOX_PASSWORD")
    with open_mailbox(arguments.mailbox, password) as box:
        found = collect(
            store,
            box,
            lambda session: LedgerClues(session, links, sender, return_path),
            workshop.clocks.real(),
            delete=arguments.delete,
        )
    console = workshop.console
    console.row("Mails", f"{found.mails:,} read, {found.automatic:,} automatic replies, {found.other:,} for a person")
    _tell(workshop, found.recorded)
    mails = {"mails": found.mails, "automatic": found.automatic, "other": found.other}
    console.finish({**mails, **_json(found.recorded)})
    return Exit.DONE


def _import(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import events, pipeline
    from newsletter.events import sendgrid

    now, list_id = workshop.clocks.real(), pipeline.sender(workshop.config).list_id
    try:
        with arguments.file.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise Stop(Exit.USAGE, f"{arguments.file}: larger than {LONGEST_FILE // 1_000_000} MB; import it in parts")
        found = sendgrid.parse(data, list_id, now)
    except OSError as error:
        raise Stop(Exit.USAGE, f"{arguments.file}: {error.strerror}") from error
    except sendgrid.Unreadable as error:
        raise Stop(Exit.USAGE, f"{arguments.file}: {error}; give SendGrid's events as JSON") from error
    with store.write() as session:
        recorded = events.record(session, found, now)
    _tell(workshop, recorded)
    workshop.console.finish(_json(recorded))
    return Exit.DONE


def _list(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import events

    console = workshop.console
    with store.read() as session:
        counts, newest = events.counts(session), events.newest(session, max(0, arguments.limit))
    console.row("Events", ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items()))
    listed = [
        {"at": row.at, "key": row.key, "known": row.delivery_id is not None, "kind": row.kind, "why": row.why}
        for row in newest
    ]
    for number, row in enumerate(newest):
        unknown = "" if row.delivery_id is not None else " (of no delivery of ours)"
        why = f": {row.why}" if row.why else ""
        text = f"{row.at:%Y-%m-%d %H:%M} {row.key or '-'} {row.kind.replace('_', ' ')}{unknown}{why}"
        console.row("Newest" if not number else "", text)
    console.finish({"counts": counts, "newest": listed})
    return Exit.DONE


def _tell(workshop: Workshop, recorded: Recorded) -> None:
    kinds = ", ".join(f"{count:,} {kind.value.replace('_', ' ')}" for kind, count in recorded.new.items())
    workshop.console.row("New", kinds or "nothing")
    if recorded.unknown:
        workshop.console.row("", f"{recorded.unknown:,} of them of no delivery of ours")
    if recorded.known:
        workshop.console.row("Known", f"{recorded.known:,} from before")


def _json(recorded: Recorded) -> dict[str, object]:
    new = {kind.value: count for kind, count in recorded.new.items()}
    return {"new": new, "unknown": recorded.unknown, "known": recorded.known}


_ACTIONS = {"read": _read, "import": _import, "list": _list}
