"""How the sending stands: each issue that is not finished, what it waits for, and the way out of whatever is stuck."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlmodel import Session

import subscribers
from newsletter import deliveries, issues, sending
from newsletter.deliveries import CANCELLED, CLAIMED, FAILED, GOING, HANDING, IN_DOUBT, PAUSED, PLANNED, Clocks, Waiting
from newsletter.store import Store
from subscribers import Frequency


@dataclass(frozen=True, slots=True)
class Way:
    """Something that does not go on by itself, and the commands that help, in their order."""

    what: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssueStatus:
    """How the sending of one issue stands. ``rate`` is in messages a second, and 0 when nothing is being sent."""

    number: int
    title: str
    slot: str
    state: str
    counts: dict[str, int]
    rate: float
    next_try: dt.datetime | None
    last_error: str
    last_error_at: dt.datetime | None
    ways: tuple[Way, ...]

    @property
    def audience(self) -> int:
        """Everyone whom the freeze wrote down."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Those for whom nothing is left to do."""
        return self.audience - sum(self.counts.get(state, 0) for state in deliveries.UNFINISHED)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None when nothing is being sent."""
        return (self.audience - self.done) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True)
class LettersStatus:
    """How the single mails that people asked for stand."""

    waiting: int
    failed: int
    next_try: dt.datetime | None
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that an owner asks for first.

    ``problem`` stands in the way of any sending; ``topicless`` are the readers all of whose topics are gone.
    """

    problem: str
    draft: int | None
    issues: tuple[IssueStatus, ...]
    letters: LettersStatus
    topicless: int


def gather(
    store: Store, session: Session, clocks: Clocks, window: dt.timedelta, topics: Collection[str] = ()
) -> Status:
    """How it stands now: the issues that are not finished, or the newest when all are. ``topics`` are all keys."""
    problem = sending.witness_of(store).problem(*deliveries.ledger(session, lock=False))
    numbers = (
        list(deliveries.open_issues(session))
        or [row.id for row in issues.listing(session)[:20] if row.state == issues.FROZEN and row.id][:1]
    )
    found = tuple(_issue(session, number, clocks, window) for number in numbers)
    audience = [subscribers.groups(session, clocks.now(), each) for each in Frequency]
    topicless = sum(subscribers.left_with_none(groups, topics) for groups in audience)
    return Status(problem, issues.draft_number(session), found, _letters(session, clocks), topicless)


def _letters(session: Session, clocks: Clocks) -> LettersStatus:
    counts = subscribers.letter_counts(session)
    failed = counts.get("failed", 0)
    overdue = subscribers.overdue_letters(session, now=clocks.now(), real_now=clocks.real())
    ways = list[Way]()
    if overdue:
        ways.append(Way(f"letters: {overdue:,} due, and nothing hands them over", ("newsletter run --once",)))
    if failed:
        ways.append(Way(f"letters: {failed:,} failed", ("newsletter subscribers letters",)))
    waiting = counts.get("planned", 0) + counts.get("handing", 0)
    return LettersStatus(waiting, failed, subscribers.next_letter_at(session), tuple(ways))


def _issue(session: Session, number: int, clocks: Clocks, window: dt.timedelta) -> IssueStatus:
    now, real_now = clocks.now(), clocks.real()
    row, standing = issues.row_of(session, number), deliveries.standing(session, number)
    counts = deliveries.counts(session, number)
    waits = deliveries.waiting(session, number, now, now - window)
    is_sending, dead = deliveries.held_by(session, number, real_now)
    error, error_at = standing.trouble, standing.trouble_at
    if not error:
        error, error_at = deliveries.last_error(session, number) or ("", None)
    held = standing.held_until if standing.held_until and standing.held_until > now else None
    return IssueStatus(
        number=number,
        title=row.title,
        slot=row.slot or "",
        state=_state(standing.state, counts, is_sending=is_sending),
        counts=counts,
        rate=deliveries.rate(session, number, real_now) if is_sending else 0.0,
        next_try=(held or waits.next_try) if counts.get(PLANNED) else None,
        last_error=error,
        last_error_at=error_at,
        ways=tuple(_ways(number, standing.state, counts, waits, dead, is_sending=is_sending, held=held)),
    )


def _state(standing: str, counts: dict[str, int], *, is_sending: bool) -> str:
    if standing in (PAUSED, CANCELLED):
        return standing
    if is_sending:
        return "sending"
    if any(counts.get(state) for state in (PLANNED, CLAIMED, HANDING)):
        return "waiting"
    return "in doubt" if counts.get(IN_DOUBT) else "finished"


def _ways(
    number: int,
    standing: str,
    counts: dict[str, int],
    waits: Waiting,
    dead: int,
    *,
    is_sending: bool,
    held: dt.datetime | None,
) -> list[Way]:
    """Every state that does not end by itself, with the command that ends it."""
    send, resume = f"newsletter send {number}", f"newsletter issues resume {number}"
    found = list[Way]()
    if standing == PAUSED:
        found.append(Way("paused", (resume, f"newsletter issues cancel {number}")))
    elif waits.late:
        found.append(Way(f"{waits.late:,} too late to go by themselves", (f"{send} --late",)))
    if dead and not is_sending:
        found.append(Way(f"{dead:,} left behind by a process that ended", (send,)))
    if standing == GOING and not is_sending:
        if waits.due and held:
            found.append(Way(f"{waits.due:,} held until the next try", (resume, send)))
        elif waits.due:
            found.append(Way(f"{waits.due:,} due, and nothing sends them", (send,)))
    for state in (IN_DOUBT, FAILED):
        if counts.get(state):
            listing = f"newsletter deliveries list {number} --state {state}"
            resolve = f"newsletter deliveries resolve {number} --state {state} --as sent|failed|again"
            found.append(Way(f"{counts[state]:,} {state.replace('_', ' ')}", (listing, resolve)))
    return found
