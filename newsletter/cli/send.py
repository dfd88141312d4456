"""`newsletter send`: send today's issue, go on with one that was interrupted, or show what would be sent."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.cli import _report, _sandbox, build
from newsletter.cli._exits import Exit, Stop
from newsletter.cli._signals import halting
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
    parser.add_argument("--late", action="store_true", help="send what is later than delivery.window_hours, too")
    parser.add_argument("--test", metavar="ADDRESS", help="send one copy to this address, and nothing to any reader")
    parser.add_argument("--sandbox", action="store_true", help="have SendGrid check each edition, and deliver nothing")
    parser.add_argument(
        "--allow-excerpts",
        action="store_true",
        help="send a draft of mostly excerpts too, though a model is configured",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where --dry-run writes the preview")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Send, or show."""
    if arguments.test:
        return _test(arguments, workshop)
    if arguments.sandbox:
        return _sandbox.run(arguments.issue or _known(workshop), workshop)
    return dry_run(arguments, workshop) if arguments.dry_run else _send(arguments, workshop)


def dry_run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Build the draft if there is none; then report over a read-only connection."""
    number, reason = _to_show(arguments, workshop)
    return _no_issue(workshop, reason) if number is None else show(workshop, number, arguments.out)


def _to_show(arguments: argparse.Namespace, workshop: Workshop) -> tuple[int | None, str]:
    """The issue that is meant, built when there is none; or no number, and why."""
    number = arguments.issue or _known(workshop)
    if number is not None:
        return number, ""
    with workshop.store() as store:
        built = build.make(workshop, store, workshop.press(store), workshop.desk(store))
    return built.number, built.reason


def _test(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Hand one copy to the provider, outside the ledger. Never to an address that said no."""
    import subscribers
    from newsletter import pipeline, previews
    from newsletter.providers import Accepted

    console, provider, address = workshop.console, workshop.provider(), arguments.test
    number, reason = _to_show(arguments, workshop)
    if number is None:
        return _no_issue(workshop, reason)
    with workshop.store(read_only=True) as store:
        with store.read() as session:
            try:
                against = subscribers.suppressions(session, address)
            except subscribers.InvalidAddress as error:
                raise Stop(Exit.USAGE, f"--test {address}: {error}") from error
        if against:
            raise Stop(Exit.GATE, f"{address} gets no mail ({', '.join(sorted(against))}); test with another address")
        message = pipeline.test_copy(workshop.press(store), number, address, previews.Placeholders())
        outcome = next(iter(provider.hand_over([message])), None)
    if not isinstance(outcome, Accepted):
        raise Stop(Exit.IN_PART, f"the copy was not taken: {getattr(outcome, 'why', 'the provider gave no answer')}")
    console.say(f"A copy of issue {number} went to {address} by {provider.name}; its own links open nothing.")
    if provider.name == "files":
        console.row("Mails", str(workshop.settings.outbox))
    console.finish({"issue": number, "test": address, "subject": message.header("Subject"), "provider": provider.name})
    return Exit.DONE


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
    with workshop.store(thorough=True) as store:
        press = workshop.press(store)
        number, reason = _ready(arguments, workshop, store, press)
        if number is None:
            return _no_issue(workshop, reason)
        readers, title, frozen = _audience(press, number)
        if not frozen:
            _check_draft(arguments, workshop, press, number)
        late = _late(arguments, workshop, press, number) if frozen else 0
        with_late = arguments.late or (late > 0 and _takes_late(arguments, workshop, number, late))
        readers -= 0 if with_late else late
        if not arguments.yes:
            people = f"{readers:,} {'person' if readers == 1 else 'people'}"
            _ask(workshop, f"{'Go on sending' if frozen else 'Send'} {title!r} to {people}?")
        if not frozen:
            pipeline.freeze(press, number)
        with halting() as halt, console.progress("Handing over", readers) as progress:
            counts = pipeline.send(press, number, provider, progress, late=with_late, halt=halt)
        with store.read() as session:
            skipped = deliveries.skips(session, number)
            standing = deliveries.standing(session, number)
        _say_why_not(workshop, press, number, counts, halted=halt.is_asked)
    _report.sent(console, title, provider.name, counts, skipped)
    if provider.name == "files" and readers:
        console.row("Mails", str(workshop.settings.outbox))
    console.finish(
        {
            "issue": number,
            "title": title,
            "states": counts,
            "skipped": skipped,
            "provider": provider.name,
            "sending": standing.state,
            "halted": halt.is_asked,
        }
    )
    unfinished = [state for state in (*deliveries.UNFINISHED, deliveries.FAILED) if counts.get(state)]
    return Exit.IN_PART if unfinished else Exit.DONE


def _late(arguments: argparse.Namespace, workshop: Workshop, press: Press, number: int) -> int:
    """How many deliveries of a frozen issue are too late to go by themselves. Raises Stop when it was stopped."""
    from newsletter import deliveries, pipeline

    with press.store.read() as session:
        state = deliveries.standing(session, number).state
        waits = deliveries.waiting(session, number, press.clocks.now(), pipeline.window_start(press))
    if state != deliveries.GOING:
        with press.store.write() as session:
            deliveries.recover(session, number, press.clocks.real())
    if state == deliveries.PAUSED:
        raise Stop(Exit.GATE, f"issue {number} is paused; `newsletter issues resume {number}` lets it go on")
    if state == deliveries.CANCELLED:
        raise Stop(Exit.GATE, f"issue {number} is cancelled, which is for good; `newsletter send` makes the next one")
    return waits.late


def _takes_late(arguments: argparse.Namespace, workshop: Workshop, number: int, late: int) -> bool:
    """Whether a person says that late deliveries should go; without one they stay, and it is said."""
    hours = workshop.config.delivery.window_hours
    text = f"{late:,} of issue {number} {'is' if late == 1 else 'are'} more than {hours:g} hours late"
    if workshop.console.is_terminal and not arguments.yes:
        return workshop.confirm(f"{text}. Send them too?")
    workshop.console.warn(
        f"{text} and wait: `newsletter send {number} --late` sends them, `newsletter issues cancel {number}` ends it"
    )
    return False


def _say_why_not(workshop: Workshop, press: Press, number: int, counts: dict[str, int], *, halted: bool) -> None:
    """Why an issue is not out to everybody, when that is not what the counts say already."""
    from newsletter import deliveries

    warn, planned = workshop.console.warn, counts.get(deliveries.PLANNED, 0)
    with press.store.read() as session:
        standing = deliveries.standing(session, number)
    if standing.state != deliveries.GOING:
        warn(f"Issue {number} was {standing.state} meanwhile; `newsletter status` shows the way on.")
    elif halted:
        warn(f"Stopped before the end; `newsletter send {number}` goes on.")
    elif planned and standing.held_until and standing.held_until > press.clocks.now():
        warn(
            f"{planned:,} wait until {standing.held_until:%Y-%m-%d %H:%M:%S} UTC ({standing.trouble}); `newsletter "
            f"send {number}` goes on then, and `newsletter issues resume {number}` ends the wait."
        )
    elif planned:
        warn(f"{planned:,} are planned for later; `newsletter status` shows when, `newsletter send {number}` goes on.")


def _ready(arguments: argparse.Namespace, workshop: Workshop, store: Store, press: Press) -> tuple[int | None, str]:
    """The issue to send: the one named, the one that is being sent, the draft (made anew when stale), or a new one."""
    from newsletter import deliveries, issues, pipeline

    since = None if arguments.late else pipeline.window_start(press)
    with store.read() as session:
        number = arguments.issue or deliveries.unfinished_issue(session, since) or issues.draft_number(session)
        state = issues.row_of(session, number).state if number else ""
        waits_for_owner = None if arguments.issue else deliveries.unfinished_issue(session)
    if waits_for_owner and waits_for_owner != number:
        workshop.console.warn(
            f"Issue {waits_for_owner} is late and not finished; `newsletter status` shows the way on."
        )
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


def _check_draft(arguments: argparse.Namespace, workshop: Workshop, press: Press, number: int) -> None:
    """Stop a draft that needs the owner's own word and has it not. `--yes` is no such word: cron says it every day."""
    from newsletter import issues, pipeline

    with press.store.read() as session:
        if issues.is_approved(session, number):
            return
        why = pipeline.held_back(workshop.desk(press.store), issues.load(session, number))
    if arguments.yes and press.config.schedule.approval == "required":
        raise Stop(Exit.GATE, f"issue {number} is not approved; `newsletter issues approve {number}` does that")
    if why and not arguments.allow_excerpts:
        raise Stop(
            Exit.GATE,
            f"{why}: draft {number} was not sent; `newsletter issues rebuild {number}` asks again where no "
            "answer came, `newsletter send --allow-excerpts` sends it as it is",
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
