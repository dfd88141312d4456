"""`newsletter status`: how the sending stands, what went wrong last, and the way out of whatever is stuck."""

from __future__ import annotations

import argparse
import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from newsletter.cli._exits import Exit
from newsletter.cli._workshop import Workshop
from newsletter.values import EVERY

if TYPE_CHECKING:
    from newsletter.cli._console import Console
    from newsletter.status import IssueStatus, LettersStatus, Way


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but those that all have."""


def run(arguments: argparse.Namespace, workshop: Workshop) -> int:
    """Read, and tell."""
    from newsletter import scheduler, status

    console, config = workshop.console, workshop.config
    window = dt.timedelta(hours=config.delivery.window_hours)
    with workshop.store(read_only=True) as store, store.read() as session:
        found = status.gather(store, session, workshop.clocks, window, {topic.key for topic in config.topics})
        schedule = list(scheduler.outlook(workshop.press(store), session))
    zone = ZoneInfo(config.newsletter.time_zone)
    if found.problem:
        console.row("Stopped", f"{found.problem}; `newsletter deliveries trust` goes on with this one")
    for issue in found.issues:
        _tell(console, issue, zone)
    _tell_letters(console, found.letters, zone)
    if found.topicless:
        console.row(
            "Readers",
            f"{found.topicless:,} follow only topics that there are no more: they get nothing, and their page says so",
        )
    if found.draft:
        console.row("Draft", f"issue {found.draft}; `newsletter send {found.draft}` sends it")
    if not (found.issues or found.draft or found.problem):
        console.say("Nothing was sent yet; `newsletter send` makes an issue and sends it.")
    for one in schedule:
        kind = "issue" if one.kind == EVERY else f"{one.kind} round-up"
        console.row("Schedule", f"{kind}: last {one.last} ({one.came_of_it}), next {one.next}")
    console.finish(
        {
            "problem": found.problem,
            "draft": found.draft,
            "issues": [_json(one) for one in found.issues],
            "letters": asdict(found.letters),
            "topicless_readers": found.topicless,
            "schedule": [asdict(one) for one in schedule],
        }
    )
    return Exit.DONE


def _tell(console: Console, issue: IssueStatus, zone: ZoneInfo) -> None:
    slot = f", slot {issue.slot}" if issue.slot else ""
    console.row("Issue", f"{issue.number} ({issue.state}{slot}): {issue.title}")
    share = f" ({100 * issue.done / issue.audience:.0f} %)" if issue.audience else ""
    states = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in issue.counts.items())
    console.row("Progress", f"{issue.done:,} of {issue.audience:,}{share}: {states or 'nobody is subscribed yet'}")
    if issue.seconds_left is not None:
        console.row("Rate", f"{issue.rate:,.0f} a second, {dt.timedelta(seconds=round(issue.seconds_left))} left")
    if issue.last_error:
        console.row("Last error", f"{_at(issue.last_error_at, zone)}: {issue.last_error}")
    if issue.next_try:
        console.row("Next try", _at(issue.next_try, zone))
    _tell_ways(console, issue.ways)


def _tell_letters(console: Console, letters: LettersStatus, zone: ZoneInfo) -> None:
    if letters.waiting or letters.failed:
        again = f"; next try {_at(letters.next_try, zone)}" if letters.next_try else ""
        console.row("Letters", f"{letters.waiting:,} waiting, {letters.failed:,} failed{again}")
    _tell_ways(console, letters.ways)


def _tell_ways(console: Console, ways: tuple[Way, ...]) -> None:
    for way in ways:
        console.row("Stuck", f"{way.what}: {', '.join(f'`{command}`' for command in way.commands)}")


def _at(moment: dt.datetime | None, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if moment else "at an unknown time"


def _json(issue: IssueStatus) -> dict[str, Any]:
    return {
        **asdict(issue),
        "audience": issue.audience,
        "done": issue.done,
        "seconds_left": issue.seconds_left,
    }
