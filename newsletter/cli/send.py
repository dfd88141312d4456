"""`newsletter send`: send today's issue, go on with one that was interrupted, or show what would be sent."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli import _report, build
from newsletter.cli._exits import Exit, Stop
from newsletter.cli._workshop import Workshop

if TYPE_CHECKING:
    from newsletter.pipeline import Press
    from newsletter.store import Store
    from newsletter.summaries import Desk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which issue, and how."""
    parser.add_argument("issue", nargs="?", type=int, metavar="ISSUE", help="number of the issue; without it, today's")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and hand nothing over")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--allow-excerpts",
        action="store_true",
        help="send a draft of mostly excerpts too, though a model is configured",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where --dry-run writes the preview")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Send, or show."""
    return dry_run(arguments, workshop) if arguments.dry_run else _send(arguments, workshop)


def dry_run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Build the draft if there is none; then report over a read-only connection."""
    number = arguments.issue or _known(workshop)
    if number is None:
        with workshop.store() as store:
            built = build.make(workshop, store, workshop.press(store), workshop.desk(store))
        if built.number is None:
            return _no_issue(workshop, built.reason)
        number = built.number
    return show(workshop, number, arguments.out)


def show(workshop: Workshop, number: int, out: Path | None) -> int:
    """Report on an issue and write its preview, over a read-only connection. Ends with 5 when a check does not hold."""
    from newsletter import issues, pipeline, previews

    folder = (out or workshop.settings.data_folder / "preview" / f"issue-{number}").absolute()
    with workshop.store(read_only=True) as store:
        press = workshop.press(store)
        with store.read() as session:
            preview = previews.prepare(press, session, number)
        stale = preview.issue.state == issues.DRAFT and not pipeline.is_current(press, workshop.desk(store), number)
        page = previews.write(press, preview, folder)
    _report.tell(workshop.console, preview, page)
    if stale:
        workshop.console.warn(f"What draft {number} was made from has changed: `newsletter send` makes it anew first.")
    workshop.console.finish({**previews.report(preview), "preview": str(page), "current": not stale, "handed_over": 0})
    return Exit.DONE if all(check.ok for check in preview.checks) else Exit.GATE


def _known(workshop: Workshop) -> int | None:
    """The issue that is being sent, else the draft, if the database has either; opens it read-only."""
    from newsletter import deliveries, issues
    from newsletter.store import sqlite_file

    file = sqlite_file(workshop.settings.database_url)
    if file is not None and not file.is_file():
        return None
    with workshop.store(read_only=True) as store, store.read() as session:
        return deliveries.unfinished_issue(session) or issues.draft_number(session)


def _send(arguments: argparse.Namespace, workshop: Workshop) -> int:
    from newsletter import deliveries, pipeline

    console, provider = workshop.console, workshop.provider()
    with workshop.store() as store:
        press = workshop.press(store)
        number, reason = _ready(workshop, store, press, arguments.issue)
        if number is None:
            return _no_issue(workshop, reason)
        readers, title, frozen = _audience(press, number)
        if not frozen and not arguments.allow_excerpts:
            _check_excerpts(workshop, store, number)
        if not arguments.yes:
            people = f"{readers:,} {'person' if readers == 1 else 'people'}"
            _ask(workshop, f"{'Go on sending' if frozen else 'Send'} {title!r} to {people}?")
        if not frozen:
            pipeline.freeze(press, number)
        with console.progress("Handing over", readers) as progress:
            counts = pipeline.send(press, number, provider, progress)
        with store.read() as session:
            skipped = deliveries.skips(session, number)
    _report.sent(console, title, provider.name, counts, skipped)
    if provider.name == "files" and readers:
        console.row("Mails", str(workshop.settings.outbox))
    console.finish({"issue": number, "title": title, "states": counts, "skipped": skipped, "provider": provider.name})
    unfinished = [state for state in (*deliveries.UNFINISHED, deliveries.FAILED) if counts.get(state)]
    return Exit.IN_PART if unfinished else Exit.DONE


def _ready(workshop: Workshop, store: Store, press: Press, wanted: int | None) -> tuple[int | None, str]:
    """The issue to send: the one named, the one that is being sent, the draft (made anew when stale), or a new one."""
    from newsletter import deliveries, issues

    with store.read() as session:
        number = wanted or deliveries.unfinished_issue(session) or issues.draft_number(session)
        state = issues.row_of(session, number).state if number else ""
    if number and state == issues.FROZEN:
        return number, ""
    if number and state == issues.REJECTED:
        raise Stop(Exit.USAGE, f"issue {number} was rejected; `newsletter build` makes a new one")
    desk = workshop.desk(store)
    if number is None:
        built = build.make(workshop, store, press, desk)
        return built.number, built.reason
    return _current(workshop, press, desk, number)


def _current(workshop: Workshop, press: Press, desk: Desk, number: int) -> tuple[int | None, str]:
    """A draft as `build` would make it now; when that is another one, say so."""
    from newsletter import issues, pipeline

    built = pipeline.build(press, desk)
    build.tell_warnings(workshop.console, built)
    if built.changed:
        workshop.console.warn(f"What draft {number} was made from has changed; it was made anew:")
        with press.store.read() as session:
            build.show_draft(workshop.console, issues.load(session, number), changed=True)
    return built.number, built.reason


def _audience(press: Press, number: int) -> tuple[int, str, bool]:
    """How many readers will be handed over to, the title, and whether the audience is frozen already."""
    import subscribers
    from newsletter import deliveries, issues, pipeline

    with press.store.read() as session:
        issue = issues.load(session, number)
        if issue.state == issues.FROZEN:
            left = deliveries.counts(session, number)
            return sum(left.get(state, 0) for state in (deliveries.PLANNED, deliveries.CLAIMED)), issue.title, True
        given = pipeline.assignments(press, session, issue)
        groups = subscribers.groups(session, press.clocks.now())
        return sum(group.readers for group in groups if given[group.follows].edition), issue.title, False


def _check_excerpts(workshop: Workshop, store: Store, number: int) -> None:
    """Stop a draft that needs the owner's own word. `--yes` is no such word: cron says it every day."""
    from newsletter import issues, pipeline

    with store.read() as session:
        why = pipeline.held_back(workshop.desk(store), issues.load(session, number))
    if why:
        raise Stop(
            Exit.GATE,
            f"{why}: draft {number} was not sent; `newsletter issues rebuild {number}` asks again where no "
            "answer came, "
            "`newsletter send --allow-excerpts` sends it as it is",
        )


def _ask(workshop: Workshop, question: str) -> None:
    if not workshop.console.is_terminal:
        raise Stop(Exit.GATE, "nobody is here to be asked; `newsletter send --yes` sends, --dry-run shows what")
    if not workshop.confirm(question):
        raise Stop(Exit.GATE, "nothing was sent; the draft stays")


def _no_issue(workshop: Workshop, reason: str) -> int:
    workshop.console.say(f"No issue: {reason}.")
    workshop.console.finish({"issue": None, "reason": reason, "handed_over": 0})
    return Exit.DONE
