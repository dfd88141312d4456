"""`newsletter deliveries`: list single deliveries, say what became of those in doubt, and trust a restored database."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from newsletter.cli._exits import Exit, Stop
from newsletter.cli._options import everywhere
from newsletter.cli._workshop import Workshop
from newsletter.masking import masked

if TYPE_CHECKING:
    from newsletter.deliveries import Listed
    from newsletter.store import Store

LISTABLE = (
    "planned",
    "claimed",
    "handing",
    "accepted",
    "delivered",
    "bounced",
    "complained",
    "failed",
    "in_doubt",
    "skipped",
    "cancelled",
)
RESOLVABLE = ("in_doubt", "failed")
MOST_LISTED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="deliveries in one state", parents=[everywhere()])
    listing.add_argument("issue", nargs="?", type=int, metavar="ISSUE", help="number of the issue; without it, all")
    listing.add_argument("--state", choices=LISTABLE, default="in_doubt", help="which (default: in_doubt)")
    listing.add_argument("--limit", type=int, default=MOST_LISTED, metavar="N", help="at most so many (default: 100)")
    listing.add_argument("--addresses", action="store_true", help="whole addresses; without it, masked ones")
    resolve = actions.add_parser(
        "resolve", help="say what became of deliveries that nobody knows of, or that failed", parents=[everywhere()]
    )
    resolve.add_argument("issue", nargs="?", type=int, metavar="ISSUE", help="all of this issue")
    resolve.add_argument("--key", help="one delivery, by the key that `list` shows")
    resolve.add_argument(
        "--as", required=True, dest="verdict", choices=("sent", "failed", "again"), help="again: hand it over once more"
    )
    resolve.add_argument("--state", choices=RESOLVABLE, default="in_doubt", help="which (default: in_doubt)")
    resolve.add_argument("--yes", action="store_true", help="do not ask")
    actions.add_parser(
        "trust", help="go on with a restored or copied database; pauses what is unfinished", parents=[everywhere()]
    ).add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Do one action."""
    with workshop.store(read_only=arguments.action == "list") as store:
        return int(_ACTIONS[arguments.action](arguments, workshop, store))


def _list(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries

    console = workshop.console
    with store.read() as session:
        found = deliveries.listing(session, arguments.state, arguments.issue, max(arguments.limit, 1))
    listed = [_entry(one, whole=arguments.addresses) for one in found]
    for entry in listed:
        reason = f": {entry['reason']}" if entry["reason"] else ""
        console.say(
            f"{entry['key']:12}  {entry['state'].replace('_', ' '):9}  {entry['address'] or 'erased':32}  "
            f"{entry['changed_at'][:16]}  {entry['provider']}{reason}"
        )
    if not listed:
        console.say(f"No delivery is {arguments.state.replace('_', ' ')}.")
    elif arguments.state in RESOLVABLE:
        console.note(
            "`newsletter deliveries resolve (ISSUE | --key KEY) --as sent|failed|again` says what became of them."
        )
    console.finish({"deliveries": listed})
    return Exit.DONE


def _entry(one: Listed, *, whole: bool) -> dict[str, Any]:
    entry = asdict(one)
    for name in ("due_at", "try_at", "changed_at"):
        entry[name] = entry[name].isoformat(sep=" ", timespec="seconds")
    return entry if whole else entry | {"address": masked(one.address)}


def _resolve(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries
    from newsletter.deliveries import Verdict

    issue, reader = _meant(arguments)
    verdict, state = Verdict(arguments.verdict), arguments.state
    with store.read() as session:
        count = deliveries.counts(session, issue).get(state, 0) if reader is None else 1
    asks = verdict is Verdict.AGAIN and workshop.console.is_terminal and not arguments.yes and count
    if asks and not workshop.confirm(f"Hand {count:,} over again, though some may have arrived?"):
        raise Stop(Exit.GATE, "nothing was changed")
    with store.write() as session:
        changed = deliveries.resolve(session, issue, verdict, workshop.clocks, subscriber_id=reader, state=state)
        counts = deliveries.counts(session, issue)
    console, label = workshop.console, state.replace("_", " ")
    if not changed:
        raise Stop(
            Exit.USAGE, f"nothing of that is {label}; `newsletter deliveries list --state {state}` shows what is"
        )
    then = {
        Verdict.SENT: "counts as accepted",
        Verdict.FAILED: "counts as failed",
        Verdict.AGAIN: f"is planned again; `newsletter send {issue}` hands it over (with --late, if it is late)",
    }[verdict]
    console.say(f"{changed:,} of issue {issue} that {'was' if changed == 1 else 'were'} {label}: each {then}.")
    console.finish({"issue": issue, "resolved": changed, "as": verdict.value, "states": counts})
    return Exit.DONE


def _meant(arguments: argparse.Namespace) -> tuple[int, int | None]:
    """The issue, and the reader when a key was given."""
    from newsletter import deliveries

    if (arguments.issue is None) == (arguments.key is None):
        raise Stop(Exit.USAGE, "say which: the number of an issue, or --key with one key")
    if arguments.key is None:
        return arguments.issue, None
    found = deliveries.parse_key(arguments.key)
    if found is None:
        raise Stop(Exit.USAGE, f"--key {arguments.key}: no key, such as 3-17; `newsletter deliveries list` shows them")
    return found


def _trust(arguments: argparse.Namespace, workshop: Workshop, store: Store) -> int:
    from newsletter import deliveries, sending

    console = workshop.console
    with store.read() as session:
        problem = sending.witness_of(store).problem(*deliveries.ledger(session, lock=False))
    if problem:
        console.say(f"{problem[:1].upper()}{problem[1:]}.")
    if console.is_terminal and not arguments.yes and not workshop.confirm("Go on with this database?"):
        raise Stop(Exit.GATE, "nothing was changed")
    paused = sending.trust(store)
    console.say("From now on this database counts.")
    for number in paused:
        console.say(
            f"Issue {number} is paused: `newsletter issues resume {number}` lets it go on, `newsletter issues cancel "
            f"{number}` ends it if its readers have it already."
        )
    console.finish({"problem": problem, "paused": paused})
    return Exit.DONE


_ACTIONS = {"list": _list, "resolve": _resolve, "trust": _trust}
