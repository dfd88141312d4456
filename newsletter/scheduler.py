"""Keeps to the schedule on one machine: makes what is due, hands over what waits, and goes on whatever fails.

Nothing is remembered here but when to try again. Which slots are done stands in the database, where a slot is unique:
so two processes, a restart, and a clock that jumps make one issue of a slot, like a quiet day does.
"""

from __future__ import annotations

import datetime as dt
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from sqlmodel import Session

from newsletter import issues, pipeline
from newsletter.issues import IssueError
from newsletter.pipeline import Built, Press
from newsletter.problems import one_line
from newsletter.slots import Slot
from newsletter.values import EVERY

TICK = 20.0
"""Seconds between two looks at clock and database: a clock that was set is noticed within them."""
HEARTBEAT = 600.0
"""Seconds between two signs of life, for who wants to hear them."""
FIRST_WAIT, LONGEST_WAIT = 60.0, 900.0
"""Seconds to the next try of what failed: the first, then twice as long each time, up to the longest."""

Say = Callable[[str], None]


class Leaving(Exception):
    """Raised by a callback to end what runs, at the next point where that loses nothing."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work that the schedule asks for.

    ``make`` makes the draft of a slot, ``send`` hands over what is due of an issue and returns how many deliveries are
    in each state. ``chores``, by name, are called at every tick. ``detail`` hears what only the curious want to know.
    """

    make: Callable[[Slot], Built]
    send: Callable[[int], Mapping[str, int]]
    say: Say
    detail: Say = lambda line: None
    chores: Mapping[str, Callable[[], object]] = field(default_factory=dict)


@dataclass(slots=True)
class _Trouble:
    """What failed again and again, how often, and when it is tried again by the machine's running time."""

    times: int
    again: float


class Keeper:
    """Does what is due. ``running`` is a clock that never jumps, in seconds; ``stays``: there will be a next try."""

    def __init__(
        self, press: Press, hands: Hands, *, running: Callable[[], float] = time.monotonic, stays: bool = True
    ) -> None:
        self._press = press
        self._hands = hands
        self._running = running
        self._stays = stays
        self._timetable = press.config.timetable()
        self._window = dt.timedelta(hours=press.config.delivery.window_hours)
        self._troubles: dict[str, _Trouble] = {}
        self._told: dict[int, str] = {}
        self._beat = running()
        self.failures: list[Exception] = []
        """What failed at the last tick."""

    def run(self, bell: Bell) -> None:
        """Keep to the schedule until the bell rings."""
        for line in self.announcement():
            self._hands.say(line)
        try:
            while not bell.has_rung:
                self.tick()
                self._sign_of_life()
                bell.wait(self._pause())
        except Leaving:
            self._hands.detail("stopped in the middle; what was committed stays")

    def tick(self) -> None:
        """Do once what is due now. Only Leaving leaves here: what fails is said and tried again later."""
        self.failures = []
        for name, chore in self._hands.chores.items():
            self._try(name, chore)
        self._try("drafts that wait for approval", self._cancel_unapproved)
        for slot in self._timetable.due(self._press.clocks.now(), self._window):
            self._try(self._name(slot), partial(self._keep, slot))
        self._try("deliveries", self._hand_over)

    def announcement(self) -> list[str]:
        """What comes next, one line for each kind."""
        now = self._press.clocks.now()
        found = [self._timetable.next(kind, now) for kind in self._timetable.kinds]
        lines = [f"next {_thing(slot.kind)}: {self._timetable.describe(slot)}" for slot in found if slot]
        return lines or ["no issue is scheduled: `schedule.cron` is empty"]

    def _name(self, slot: Slot) -> str:
        return f"{_thing(slot.kind)} of {self._timetable.describe(slot)}"

    def _try(self, name: str, job: Callable[[], object]) -> None:
        trouble = self._troubles.get(name)
        if trouble and self._running() < trouble.again:
            return
        try:
            job()
        except Leaving:
            raise
        except Exception as error:  # the last edge of a process that must go on: all is said, none is swallowed
            self._failed(name, error, trouble.times + 1 if trouble else 1)
        else:
            self._troubles.pop(name, None)

    def _failed(self, name: str, error: Exception, times: int) -> None:
        wait = min(FIRST_WAIT * 2 ** (times - 1), LONGEST_WAIT)
        self._troubles[name] = _Trouble(times, self._running() + wait)
        self.failures.append(error)
        again = f"; next try in {wait / 60:.0f} min" if self._stays else ""
        self._hands.say(f"{name}: {one_line(error)}{again}")

    def _keep(self, slot: Slot) -> None:
        with self._press.store.read() as session:
            if _is_settled(session, slot):
                return
        built = self._issue(slot) if slot.kind == EVERY else pipeline.round_up(self._press, slot)
        if built.number is None and not built.is_taken:
            self._hands.say(f"no {self._name(slot)}: {built.reason}")
        elif built.number is not None:
            with self._press.store.read() as session:
                title = issues.row_of(session, built.number).title
            self._hands.say(f"issue {built.number} is out: {title}")
            for line in self.announcement():
                self._hands.detail(line)

    def _issue(self, slot: Slot) -> Built:
        """The issue of a slot, frozen; taken also when it waits for approval."""
        built = self._hands.make(slot)
        if built.number is None:
            if built.is_taken:
                return built
            with self._press.store.write() as session:
                issues.leave_empty(session, slot.key, slot.kind, built.reason, self._press.clocks.now())
            return built
        if self._must_wait(slot, built.number, built.held_back):
            return Built(None, is_taken=True)
        try:
            pipeline.freeze(self._press, built.number)
        except IssueError:
            with self._press.store.read() as session:
                if issues.row_of(session, built.number).state != issues.FROZEN:
                    raise
            return Built(None, is_taken=True)
        return built

    def _must_wait(self, slot: Slot, number: int, held_back: str) -> bool:
        """Whether a draft needs the owner's approval; asks for it when it was not asked yet."""
        if self._press.config.schedule.approval == "none" and not held_back:
            return False
        with self._press.store.read() as session:
            if issues.is_approved(session, number):
                return False
        by = slot.at + self._window
        if pipeline.ask_approval(self._press, number, by):
            until, why = self._timetable.at(by), f": {held_back}" if held_back else ""
            self._hands.say(f"issue {number} waits for `newsletter issues approve {number}`, until {until}{why}")
        return True

    def _cancel_unapproved(self) -> None:
        now = self._press.clocks.now()
        with self._press.store.read() as session:
            if not issues.unapproved(session, now):
                return
        with self._press.store.write() as session:
            cancelled = issues.cancel_unapproved(session, now)
        for number in cancelled:
            self._hands.say(f"issue {number} was not approved in time and is cancelled; its pieces are free")

    def _hand_over(self) -> None:
        for number in pipeline.due_issues(self._press):
            self._try(f"issue {number}", partial(self._send, number))

    def _send(self, number: int) -> None:
        counts = self._hands.send(number)
        told = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in counts.items())
        if self._told.get(number) != told:
            self._told = {number: told}
            self._hands.say(f"issue {number}: {told}")

    def _sign_of_life(self) -> None:
        if self._running() - self._beat >= HEARTBEAT:
            self._beat = self._running()
            self._hands.detail(f"{self._timetable.at(self._press.clocks.now())}: waiting; {self.announcement()[0]}")

    def _pause(self) -> float:
        """Seconds until the next look: sooner when a slot comes sooner."""
        now = self._press.clocks.now()
        coming = filter(None, (self._timetable.next(kind, now) for kind in self._timetable.kinds))
        return min([TICK, *((slot.at - now).total_seconds() for slot in coming)])


class Bell:
    """Rung once, from a signal handler if need be, and heard at once by who waits.

    No lock is taken, as the waiter may hold it; a byte into a socket wakes it (Python documentation, signal).
    """

    def __init__(self) -> None:
        self._listen, self._ring = socket.socketpair()
        self._ring.setblocking(False)
        self.has_rung = False

    def ring(self) -> None:
        """End every wait, now and from now on."""
        if not self.has_rung:
            self.has_rung = True
            self._ring.send(b"!")

    def wait(self, seconds: float) -> None:
        """Wait that long, or until it rings."""
        select.select([self._listen], [], [], max(seconds, 0))

    def check(self) -> None:
        """Raises Leaving once it has rung; for the callbacks of what takes long."""
        if self.has_rung:
            raise Leaving

    def close(self) -> None:
        """Give the sockets back."""
        self._listen.close()
        self._ring.close()


@dataclass(frozen=True, slots=True)
class Outlook:
    """How one kind stands: its last slot and what came of it, and its next. Empty where there is none."""

    kind: str
    last: str
    came_of_it: str
    next: str


def outlook(press: Press, session: Session) -> Iterator[Outlook]:
    """How each kind of the schedule stands, for people."""
    timetable, now = press.config.timetable(), press.clocks.now()
    for kind in timetable.kinds:
        last, following = timetable.latest(kind, now), timetable.next(kind, now)
        yield Outlook(
            kind,
            timetable.describe(last) if last else "",
            _came_of(press, session, last, now) if last else "",
            timetable.describe(following) if following else "",
        )


def _came_of(press: Press, session: Session, slot: Slot, now: dt.datetime) -> str:
    row, empty = issues.in_slot(session, slot.key), issues.empty_slot(session, slot.key)
    if row is not None and row.id and row.state == issues.DRAFT and issues.waits_for_approval(session, row.id):
        return f"issue {row.id} waits for `newsletter issues approve {row.id}`"
    if row is not None and row.state != issues.DRAFT:
        return f"issue {row.id}"
    if empty is not None:
        return f"none: {empty.reason}"
    if now - slot.at < dt.timedelta(hours=press.config.delivery.window_hours):
        return "due: `newsletter run` makes it"
    return "missed: nothing ran in time; `newsletter send` makes one by hand" if slot.kind == EVERY else "missed"


def _is_settled(session: Session, slot: Slot) -> bool:
    """Whether nothing is to be done for a slot: it has its issue, or none for a reason, or the owner has the word."""
    row = issues.in_slot(session, slot.key)
    if row is None or row.id is None:
        return issues.empty_slot(session, slot.key) is not None
    return row.state != issues.DRAFT or issues.waits_for_approval(session, row.id)


def _thing(kind: str) -> str:
    return "issue" if kind == EVERY else f"{kind} round-up"
