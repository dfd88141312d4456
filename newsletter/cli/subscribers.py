"""`newsletter subscribers`: list, add, import, export and remove the people who get it.

Addresses are printed whole: it is the owner's own list, on the owner's own terminal. None goes into a log.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop

if TYPE_CHECKING:
    from sqlmodel import Session

    from newsletter.config import Config
    from newsletter.store import Store
    from subscribers import ImportReport, Kind, Outcome, Preferences, Problem, Subscriber

STATES = ("active", "paused", "pending", "unsubscribed")
FORMATS = ("html", "text")
# Written out, since --help must not load a database.

SHOWN_PROBLEMS = 20
SHOWN_DELIVERIES = 5
PAGE = 1000
"""People read at a time while a list is printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, line: str, *, address: bool = True) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=line, parents=[everywhere()])
        if address:
            made.add_argument("address", metavar="ADDRESS")
        return made

    listing = action("list", "the people, in the order in which they came, and how many get mail", address=False)
    listing.add_argument("--state", choices=STATES, help="only those in this state")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="most people to list (100)")
    listing.add_argument("--after", type=int, default=0, metavar="ID", help="go on after the person of this number")
    action("show", "one person: state, preferences, consents, suppressions, deliveries")
    add = action("add", "take in a person whose consent you hold; they get mail at once")
    _consent_argument(add)
    add.add_argument("--name", default="", help="their name")
    add.add_argument("--topics", default="", metavar="KEY,KEY", help="keys of their topics; without it, everything")
    add.add_argument("--format", choices=FORMATS, default="html", help="HTML with text (html), or text alone")
    importing = action("import", "take in the people of a CSV file; run again, it goes on", address=False)
    importing.add_argument("file", type=Path, metavar="FILE")
    _consent_argument(importing)
    importing.add_argument("--dry-run", action="store_true", help="report the same, and take nobody in")
    export = action(
        "export", "write everybody as CSV, to a new file that only you can read, or to stdout", address=False
    )
    export.add_argument("file", nargs="?", type=Path, metavar="FILE")
    action("unsubscribe", "let a person go; only they can come back")
    action("delete", "erase a person; only a keyed hash stays").add_argument(
        "--yes", action="store_true", help="do not ask"
    )
    suppress = action("suppress", "stop all mail to an address, whether or not it is anyone's here")
    suppress.add_argument("--note", default="", metavar="TEXT", help="why, without any address: it is kept for good")
    lift = action("lift", "take back a suppression that is yours to lift")
    lift.add_argument("kind", metavar="KIND", help="complaint, hard_bounce or owner")
    action("link", "print the link to a person's own preferences page, for a mail that you answer by hand")
    letters = action("letters", "the letters that wait or failed, newest first, and why", address=False)
    letters.add_argument("--limit", type=int, default=100, metavar="N", help="most letters to list (100)")


def _consent_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--consent", required=True, metavar="TEXT", help="what they agreed to, when and how; is kept")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action. What cannot be a mail address ends it with 2."""
    from subscribers import InvalidAddress

    try:
        with _store(arguments, workshop) as store:
            return int(_ACTIONS[arguments.action](arguments, workshop, store))
    except InvalidAddress as error:
        raise Stop(Exit.USAGE, f"that is no mail address: {error}") from error


@contextmanager
def _store(arguments: argparse.Namespace, workshop: Workshop) -> Iterator[Store]:
    """The database, read-only for what only reads; where there is none yet, an empty one in memory is read."""
    from newsletter.store import open_store, sqlite_file

    if not (arguments.action in _READING or (arguments.action == "import" and arguments.dry_run)):
        with workshop.store() as store:
            yield store
        return
    file = sqlite_file(workshop.settings.database_url)
    if file is None or file.is_file():
        with workshop.store(read_only=True) as store:
            yield store
        return
    nobody = open_store("sqlite://")
    try:
        yield nobody
    finally:
        nobody.close()


def _known(session: Session, address: str) -> Subscriber:
    """The person with that address. Raises Stop when there is none."""
    import subscribers

    found = subscribers.find(session, address)
    if found is None:
        raise Stop(
            Exit.USAGE,
            f"nobody here has the address {address}; `newsletter subscribers list` shows who is here, "
            "`newsletter subscribers show` whether mail to it is stopped",
        )
    return found


def _list(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    if arguments.limit < 1 or arguments.after < 0:
        raise Stop(Exit.USAGE, "--limit is 1 or more, and --after the number of a person, as `list` prints it")
    console, now = workshop.console, workshop.clocks.now()
    state = subscribers.State(arguments.state) if arguments.state else None
    listed, last, left = list[dict[str, Any]](), arguments.after, arguments.limit
    with store.read() as session:
        while left and (page := subscribers.page(session, after=last, limit=min(left, PAGE), state=state, now=now)):
            suppressed = subscribers.suppressions_by_hash(session, [person.identity_hash for person in page])
            for person in page:
                entry = _entry(person, subscribers.state_at(person, now), suppressed.get(person.identity_hash, ()))
                console.say(_line(entry))
                if console.as_json:
                    listed.append(entry)
            last, left = page[-1].id, left - len(page)
            session.expunge_all()
        more = bool(subscribers.page(session, after=last, limit=1, state=state, now=now))
        counts = subscribers.audience_counts(session, now)
    _count(console, counts)
    if more:
        again = f" --state {arguments.state}" if arguments.state else ""
        console.say(f"More: `newsletter subscribers list{again} --after {last}`")
    console.finish({"subscribers": listed, "counts": counts, "after": last if more else None})
    return Exit.DONE


def _entry(person: Subscriber, state: str, suppressed: Any) -> dict[str, Any]:
    """A person as `--json` prints them."""
    import subscribers

    wishes = subscribers.preferences_of(person)
    return {
        "id": person.id,
        "address": person.address,
        "name": person.name,
        "state": str(state),
        "reason": person.state_reason,
        "suppressed": sorted(map(str, suppressed)),
        "topics": None if wishes.topics is None else sorted(wishes.topics),
        "frequency": str(wishes.frequency),
        "format": str(wishes.format),
        "time_zone": wishes.time_zone,
        "paused_until": wishes.paused_until,
    }


def _line(entry: dict[str, Any]) -> str:
    name = f" ({entry['name']})" if entry["name"] else ""
    suppressed = f"; no mail: {_words(entry['suppressed'])}" if entry["suppressed"] else ""
    return f"{entry['id']:6}  {entry['state']:12}  {entry['address']}{name}: {_wishes(entry)}{suppressed}"


def _wishes(entry: dict[str, Any]) -> str:
    """What a person asked for, in words."""
    topics = "everything" if entry["topics"] is None else ", ".join(entry["topics"]) or "no topic"
    often = "every issue" if entry["frequency"] == "every" else entry["frequency"]
    return f"{topics}; {often}{'; text only' if entry['format'] == 'text' else ''}"


def _words(kinds: list[str]) -> str:
    return ", ".join(kinds)


def _count(console: Console, counts: dict[str, int]) -> None:
    import subscribers

    people, readers = sum(counts.values()), counts[subscribers.AUDIENCE]
    if not people:
        console.say("Nobody is here yet; `newsletter subscribers add` and `import` take people in.")
        return
    others = [f"{count:,} not mailed ({why})" for why, count in counts.items() if why != subscribers.AUDIENCE]
    said = [f"{readers:,} {'gets' if readers == 1 else 'get'} every issue", *others]
    console.say(f"{people:,} {'person' if people == 1 else 'people'}: {', '.join(said)}")


def _show(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    console, now = workshop.console, workshop.clocks.now()
    with store.read() as session:
        records = subscribers.suppression_records(session, arguments.address)
        against = [{"kind": record.kind, "at": record.at, "note": record.note} for record in records]
        person = subscribers.find(session, arguments.address)
        if person is None and not against:
            _known(session, arguments.address)
        result: dict[str, Any] = {"address": arguments.address, "state": None, "suppressions": against}
        if person is not None:
            entry = _entry(person, subscribers.state_at(person, now), [one["kind"] for one in against])
            result = {**entry, "suppressions": against, **_record(session, person)}
    if person is None:
        console.row("Address", arguments.address)
        console.row("State", "nobody here has it")
    else:
        _tell(console, result)
    for number, one in enumerate(against):
        note = f" ({one['note']})" if one["note"] else ""
        console.row("" if number else "No mail", f"{one['kind']}, since {one['at']:%Y-%m-%d %H:%M} UTC{note}")
    console.finish(result)
    return Exit.DONE


def _record(session: Session, person: Subscriber) -> dict[str, Any]:
    """When someone came and left, what they agreed to, and what was sent to them."""
    import subscribers
    from newsletter import deliveries

    consents = [
        {"at": one.at, "text": one.text, "how": one.how, "address": one.address, "network": one.network}
        for one in subscribers.consents_of(session, person.id)
    ]
    newest = deliveries.newest_of_reader(session, person.id, SHOWN_DELIVERIES)
    return {
        "created_at": person.created_at,
        "confirmed_at": person.confirmed_at,
        "left_at": person.left_at,
        "consents": consents,
        "deliveries": deliveries.of_reader(session, person.id),
        "newest_deliveries": [
            {"issue": row.issue_id, "state": row.state, "reason": row.reason, "at": row.changed_at} for row in newest
        ],
    }


def _tell(console: Console, person: dict[str, Any]) -> None:
    """A person's record, for the owner to read."""
    console.row("Address", f"{person['address']} (number {person['id']})")
    if person["name"]:
        console.row("Name", person["name"])
    paused = f", until {person['paused_until']:%Y-%m-%d %H:%M} UTC" if person["state"] == "paused" else ""
    why = f" ({person['reason']})" if person["reason"] else ""
    console.row("State", f"{person['state']}{paused}{why}")
    moments = (("came", "created_at"), ("first active", "confirmed_at"), ("left", "left_at"))
    console.row("Since", ", ".join(f"{name} {person[key]:%Y-%m-%d}" for name, key in moments if person[key]))
    zone = f"; {person['time_zone']}" if person["time_zone"] else ""
    console.row("Asked for", _wishes(person) + zone)
    for number, one in enumerate(person["consents"]):
        origin = f" from {one['network']}" if one["network"] else ""
        said = " / ".join(one["text"].splitlines())
        console.row("" if number else "Consent", f"{one['at']:%Y-%m-%d %H:%M} UTC by {one['how']}{origin}: {said}")
    counts = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in person["deliveries"].items())
    console.row("Deliveries", counts or "none yet")
    for one in person["newest_deliveries"]:
        reason = f" ({one['reason']})" if one["reason"] else ""
        console.row("", f"issue {one['issue']}: {one['state'].replace('_', ' ')} {one['at']:%Y-%m-%d}{reason}")


def _add(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    config, console = workshop.config, workshop.console
    wishes, consent = _preferences(arguments, config), _consent(arguments)
    with store.write() as session:
        before = subscribers.find(session, arguments.address)
        was = subscribers.State(before.state) if before else None
        try:
            added = subscribers.add(
                session,
                arguments.address,
                now=workshop.clocks.now(),
                how="owner",
                consent_text=consent,
                name=arguments.name,
                preferences=wishes,
                active=True,
            )
        except subscribers.InvalidName as error:
            raise Stop(Exit.USAGE, f"--name: {error}") from error
        against = subscribers.suppressions(session, arguments.address)
        if added.subscriber is None or added.outcome in (subscribers.Outcome.LEFT, subscribers.Outcome.BARRED):
            raise _refusal(added.outcome, arguments.address, against, config)
    address = added.subscriber.address
    if added.outcome is subscribers.Outcome.ADDED:
        console.say(f"{address} is added and gets the next issue.")
    elif was is subscribers.State.PENDING:
        console.say(f"{address} was waiting to be confirmed and is active now; preferences stay as they were.")
    else:
        console.say(f"{address} is here already; nothing was changed.")
    console.finish({"address": address, "id": added.subscriber.id, "outcome": str(added.outcome)})
    return Exit.DONE


def _refusal(outcome: Outcome, address: str, against: frozenset[Kind], config: Config) -> Stop:
    """Why someone cannot be taken in, and what would be needed."""
    import subscribers

    if outcome is subscribers.Outcome.LEFT:
        return Stop(
            Exit.GATE,
            f"{address} left this newsletter or was erased: only they can come back, by subscribing themselves "
            f"at {config.web.base_url}/subscribe",
        )
    stops = [str(kind) for kind in sorted(against) if kind in _BARRING]
    lifts = " and ".join(f"`newsletter subscribers lift {address} {kind}`" for kind in stops)
    return Stop(Exit.GATE, f"all mail to {address} is stopped ({_words(stops)}); if that is wrong, {lifts} first")


def _consent(arguments: argparse.Namespace) -> str:
    text: str = arguments.consent.strip()
    if not text:
        raise Stop(Exit.USAGE, "--consent: say what they agreed to, when and how; nobody is mailed who did not ask")
    return text


def _preferences(arguments: argparse.Namespace, config: Config) -> Preferences:
    """What --topics and --format ask for. Raises Stop for a topic that there is not."""
    from subscribers import Format, Preferences

    asked = frozenset(filter(None, (key.strip() for key in arguments.topics.split(","))))
    known = [topic.key for topic in config.topics]
    if unknown := sorted(asked.difference(known)):
        there = f"there are {', '.join(known)}" if known else "newsletter.toml has no [[topics]]"
        raise Stop(Exit.USAGE, f"--topics: there is no topic {', '.join(map(repr, unknown))}; {there}")
    return Preferences(topics=asked or None, format=Format(arguments.format))


def _import(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    console, file = workshop.console, arguments.file
    plan = subscribers.ImportPlan(_consent(arguments), {topic.key: topic.name for topic in workshop.config.topics})
    problems: list[Problem] = []

    def keep(problem: Problem) -> None:
        # A person reads the first ones; of a long list only a program wants all.
        if console.as_json or len(problems) < SHOWN_PROBLEMS:
            problems.append(problem)

    try:
        with console.progress("Importing, kB", file.stat().st_size // 1000) as advance:
            done = 0

            def tell(progress: subscribers.Progress) -> None:
                nonlocal done
                advance(progress.bytes_read // 1000 - done)
                done = progress.bytes_read // 1000

            report = subscribers.import_people(
                store.read if arguments.dry_run else store.write,
                file,
                plan,
                now=workshop.clocks.now(),
                dry_run=arguments.dry_run,
                on_problem=keep,
                on_progress=tell,
            )
    except OSError as error:
        raise Stop(Exit.USAGE, f"{file}: cannot be read ({error.strerror or error})") from error
    except subscribers.NotAList as error:
        raise Stop(Exit.USAGE, f"{file}: {error}") from error
    _report(console, report, problems, dry_run=arguments.dry_run)
    console.finish(_report_json(report, problems, arguments.dry_run))
    return Exit.IN_PART if report.refused else Exit.DONE


def _report(console: Console, report: ImportReport, problems: list[Problem], *, dry_run: bool) -> None:
    """What came of an import, line by line where something is wrong, then in numbers."""
    for notice in report.notices:
        console.say(f"Note: {notice}")
    for problem in problems[:SHOWN_PROBLEMS]:
        console.say(f"line {problem.line:,}: {'taken, but ' if problem.taken else ''}{problem.reason}")
    if (more := report.reasons.total() - SHOWN_PROBLEMS) > 0:
        console.say(f"... and {more:,} more; --json lists every one. By reason:")
        for reason, count in report.reasons.most_common(SHOWN_PROBLEMS):
            console.say(f"{count:8,}  {reason}")
    counts = (
        (report.added, "to be added" if dry_run else "added"),
        (report.known, "here already"),
        (report.duplicates, "on an earlier line too"),
        (report.left, "who left"),
        (report.barred, "to whom mail is stopped"),
        (report.refused, "refused"),
    )
    said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    console.say(f"{report.lines:,} {'line' if report.lines == 1 else 'lines'}{': ' if said else ''}{said}")
    if dry_run:
        console.say("Nobody was taken in: this was a dry run.")


def _report_json(report: ImportReport, problems: list[Problem], dry_run: bool) -> dict[str, Any]:
    names = ("lines", "added", "known", "duplicates", "left", "barred", "refused", "noted", "encoding", "delimiter")
    return {
        **{name: getattr(report, name) for name in names},
        "notices": list(report.notices),
        "reasons": dict(report.reasons),
        "problems": [{"line": one.line, "reason": one.reason, "taken": one.taken} for one in problems],
        "dry_run": dry_run,
    }


def _export(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    console, file = workshop.console, arguments.file
    if file is None and console.as_json:
        raise Stop(Exit.USAGE, "with --json the list needs a FILE to go to: stdout is for the result")
    with store.read() as session:
        if file is None:
            subscribers.export_people(session, console.out)
            return Exit.DONE
        try:
            with _new_private(file) as handle:
                count = subscribers.export_people(session, handle)
        except FileExistsError as error:
            raise Stop(Exit.USAGE, f"{file}: is there already; name another file, or move it away") from error
        except OSError as error:
            raise Stop(Exit.USAGE, f"{file}: cannot be written ({error.strerror or error})") from error
    console.say(f"{count:,} {'person' if count == 1 else 'people'} in {file}, which only you can read")
    console.finish({"file": str(file), "people": count})
    return Exit.DONE


@contextmanager
def _new_private(file: Path) -> Iterator[TextIO]:
    """A new file that only its owner may read; it is gone again when it could not be written whole."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as handle:
            yield handle
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _unsubscribe(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    with store.write() as session:
        person = _known(session, arguments.address)
        new = subscribers.unsubscribe(session, person.id, now=workshop.clocks.now(), reason="owner")
    done = "is unsubscribed; only they can come back." if new else "had left before."
    workshop.console.say(f"{person.address} {done}")
    workshop.console.finish({"address": person.address, "id": person.id, "new": new})
    return Exit.DONE


def _delete(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    console = workshop.console
    with store.read() as session:
        person = _known(session, arguments.address)
    if not arguments.yes:
        if not console.is_terminal:
            raise Stop(Exit.GATE, "nobody is here to be asked; `newsletter subscribers delete ADDRESS --yes` deletes")
        if not workshop.confirm(f"Erase {person.address} for good?"):
            raise Stop(Exit.GATE, "nobody was deleted")
    with store.write() as session:
        subscribers.erase(session, person.id, now=workshop.clocks.now())
    console.say(f"{person.address} is erased; no import brings them back.")
    if workshop.settings.outbox.is_dir():
        console.say(f"Mails to them in {workshop.settings.outbox}, and your backups, are yours to delete.")
    console.finish({"address": person.address, "id": person.id, "erased": True})
    return Exit.DONE


def _suppress(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    address, note = arguments.address, arguments.note.strip()
    if "@" in note:
        raise Stop(Exit.USAGE, "--note: leave addresses out; the note is kept when the person is erased")
    with store.write() as session:
        new = subscribers.suppress(session, address, subscribers.Kind.OWNER, now=workshop.clocks.now(), note=note)
    done = "is stopped" if new else "was stopped already"
    workshop.console.say(f"All mail to {address} {done}; `newsletter subscribers lift {address} owner` lifts that.")
    workshop.console.finish({"address": address, "kind": str(subscribers.Kind.OWNER), "new": new})
    return Exit.DONE


def _lift(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    address, console = arguments.address, workshop.console
    try:
        kind = subscribers.Kind(arguments.kind)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"{arguments.kind!r} is no kind of suppression; there are {_words(_BARRING)}") from error
    with store.write() as session:
        try:
            lifted = subscribers.lift(session, address, kind, by=subscribers.Lifter.OWNER)
        except subscribers.NotAllowed as error:
            raise Stop(Exit.GATE, f"{error}: they undo it, or subscribe again") from error
        still = sorted(map(str, subscribers.suppressions(session, address)))
        person = subscribers.find(session, address)
    if not lifted:
        raise Stop(Exit.USAGE, f"there is no {kind} against {address}; against it: {_words(still) or 'nothing'}")
    console.say(f"{kind} is lifted from {address}; {_after_lifting(still, person)}.")
    console.finish({"address": address, "lifted": str(kind), "still": still, "state": person.state if person else None})
    return Exit.DONE


def _after_lifting(still: list[str], person: Subscriber | None) -> str:
    """What an address can get now."""
    if still:
        return f"still against it: {_words(still)}"
    if person is None:
        return "nobody here has it"
    if person.state == "active":
        return "they get mail again"
    return f"they are {person.state}, so they get no issue until they confirm or subscribe again"


def _link(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from subscribers import Purpose

    with store.read() as session:
        person = _known(session, arguments.address)
    token = workshop.press(store).tokens.sign(Purpose.PREFERENCES, person.id)
    link = f"{workshop.config.web.base_url}/p/{token}"
    workshop.console.say(link)
    workshop.console.note("Whoever has this link can change what they get: send it to their own address alone.")
    workshop.console.finish({"address": person.address, "link": link})
    return Exit.DONE


def _letters(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    import subscribers

    if arguments.limit < 1:
        raise Stop(Exit.USAGE, "--limit is 1 or more")
    console = workshop.console
    with store.read() as session:
        found = subscribers.unsettled_letters(session, arguments.limit)
    for one in found:
        why = f": {one.reason}" if one.reason else ""
        again = f"; next try {one.try_at:%Y-%m-%d %H:%M} UTC" if one.try_at else ""
        console.say(f"{one.posted_at:%Y-%m-%d %H:%M} UTC  {one.state:8}  {one.kind:8}  {one.address}{why}{again}")
    if not found:
        console.say("No letter waits, and none failed in the last week.")
    if any(one.state == "failed" for one in found):
        console.note("A failed letter keeps no text and is not sent again: whoever asked for it can ask again.")
    console.finish({"letters": [asdict(one) for one in found]})
    return Exit.DONE


_BARRING = ["complaint", "hard_bounce", "owner"]
"""The suppressions that the owner can lift."""

_READING = ("list", "show", "export", "link", "letters")

_ACTIONS = {
    "list": _list,
    "show": _show,
    "add": _add,
    "import": _import,
    "export": _export,
    "unsubscribe": _unsubscribe,
    "delete": _delete,
    "suppress": _suppress,
    "lift": _lift,
    "link": _link,
    "letters": _letters,
}
