"""The sending of a frozen issue: claim, hand over once, record what became of it, until nothing is due or it must stop.

The order is what keeps anybody from getting a mail twice. One transaction records what was learned since the last one
and makes the next deliveries `handing`, so that at any moment only those that the provider holds are in doubt; then the
witness gets the number of the hand-over; then bytes leave. The provider works in a thread of its own, so that one that
hangs can be left behind.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlmodel import Session

from newsletter import deliveries, providers
from newsletter.deliveries import GOING, Claimed, Clocks, Handed, Lock
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Provider, Refused, TryLater, Unreachable
from newsletter.store import Store
from newsletter.values import Message
from newsletter.witness import Witness

PATIENCE_SECONDS = 8.0
"""How long a stop waits for the provider's answers."""
MOST_BUSY_CALLS = 3
"""A provider that says "not now" to as many messages in a row as so many calls take is left alone for a while."""
MOST_REFUSED = 100
"""A provider that refuses so many readers for good and takes nobody refuses us, whatever it says."""
WITNESS_FILE = "newsletter.witness"


class Halt:
    """Asks a sending to stop: nothing more leaves, and what is in flight is given `PATIENCE_SECONDS` to end.

    Whoever shares one has to end by the same moment. `ask` may be called from a signal handler; a second time it means
    at once.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._ends = float("inf")

    def ask(self) -> None:
        """Stop."""
        now = time.monotonic()
        self._ends = now if self.is_asked else now + self._patience

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked."""
        return self._ends != float("inf")

    @property
    def is_over(self) -> bool:
        """Whether what is in flight has had its time."""
        return not self.seconds_left

    @property
    def seconds_left(self) -> float:
        """How much of its time what is in flight still has; without end while nobody asked."""
        return max(0.0, self._ends - time.monotonic())


@dataclass(frozen=True, slots=True)
class Rules:
    """How a sending goes. ``chunk`` deliveries are claimed at a time.

    ``since`` leaves what was due before it to the owner. ``resend_doubts_after`` is how long a delivery is in doubt
    before it is handed over again; None: never by itself.
    """

    chunk: int = 500
    since: dt.datetime | None = None
    resend_doubts_after: dt.timedelta | None = None


def witness_of(store: Store) -> Witness:
    """The witness beside a database: by the name of its file, or in the folder that stands for one."""
    if store.file is not None:
        return Witness(store.file.with_name(f"{store.file.name}.witness"))
    return Witness(store.beside / WITNESS_FILE if store.beside else None, is_strict=False)


def check_witness(store: Store, session: Session) -> None:
    """Raise NotTrusted when the database is not the newest of its copies, so that nothing may be begun with it."""
    witness_of(store).check(*deliveries.ledger(session))


def trust(store: Store) -> list[int]:
    """Go on with this database, whatever its witness saw. Returns the unfinished issues, which are paused.

    They may have been handed over since: that is for the owner to know.
    """
    witness = witness_of(store)
    with store.write() as session:
        paused = deliveries.pause_unfinished(session)
        name, handed = deliveries.rename_ledger(session, witness.handed())
    witness.replace(name, handed)
    return paused


def send(
    store: Store,
    issue: int,
    provider: Provider,
    compose: Callable[[Claimed], Message],
    clocks: Clocks,
    *,
    rules: Rules | None = None,
    halt: Halt | None = None,
    progress: Callable[[int], None] = lambda handed: None,
) -> None:
    """Hand over every due delivery of a frozen issue; return when none is due, or the sending was told to stop.

    ``compose`` addresses a message; ``progress`` hears of how many more it is known what became of them. Both are
    called in another thread. Raises NotAllowed when the provider does not accept us, or refuses everybody; Unreachable
    when it cannot be reached; and NotTrusted when the database is not the newest of its copies. What was not taken is
    planned again.
    """
    halt = halt or Halt()
    clerk = _Clerk(store, issue, provider, compose, clocks, rules or Rules(), halt, progress)
    clerk.begin()
    worker = threading.Thread(target=clerk.work, daemon=True, name="sending")
    try:
        worker.start()
        while worker.is_alive() and not halt.is_over:
            worker.join(0.2)
    finally:
        clerk.end()
    if clerk.error is not None:
        raise clerk.error


class _Clerk:
    """One sending: what it has claimed, what of it is with the provider, and what has been learned of it.

    The lock is for a sending that is told to stop while the provider's thread still runs.
    """

    def __init__(
        self,
        store: Store,
        issue: int,
        provider: Provider,
        compose: Callable[[Claimed], Message],
        clocks: Clocks,
        rules: Rules,
        halt: Halt,
        progress: Callable[[int], None],
    ) -> None:
        self._store, self._issue, self._provider, self._compose = store, issue, provider, compose
        self._clocks, self._rules, self._halt, self._progress = clocks, rules, halt, progress
        self._owner, self._witness = deliveries.owner(), witness_of(store)
        self._lock = threading.Lock()
        self._claimed: deque[Claimed] = deque()
        self._composed: dict[int, Message] = {}
        self._with_provider: dict[str, tuple[int, int]] = {}
        self._learned: list[Handed] = []
        self._busy = _Busy(provider.batch)
        self._is_closed = self._has_accepted = False
        self._refused, self._why = 0, ""
        self.error: BaseException | None = None

    def begin(self) -> None:
        """Take over what dead processes left, and what was in doubt for too long."""
        repeatable = self._provider.name if self._provider.repeats_safely else ""
        with self._store.write() as session:
            check_witness(self._store, session)
            deliveries.recover(session, self._issue, self._clocks.real(), repeatable=repeatable)
            if self._rules.resend_doubts_after is not None:
                until = self._clocks.real() - self._rules.resend_doubts_after
                deliveries.send_doubts_again(session, self._issue, until, self._clocks)

    def work(self) -> None:
        """Hand over until there is no more. What goes wrong is kept in ``error`` for the thread that waits."""
        try:
            for outcome in providers.stream(self._provider, self._more):
                self._learn(outcome)
            if self._refuses_all:
                raise NotAllowed(
                    f"the provider refused {self._refused} readers and took nobody: {self._why}; issue {self._issue} "
                    f"is paused. Mend that; `newsletter deliveries resolve {self._issue} --state failed --as again` "
                    f"and `newsletter issues resume {self._issue}`"
                )
        except BaseException as error:  # not ours to judge: `send` raises it
            self.error = error

    def end(self) -> None:
        """Record what was learned, settle what the provider still has, and give back what was only claimed."""
        with self._lock, self._store.write() as session:
            self._is_closed = True
            # Before any delivery: whoever pauses or cancels takes its locks in this order too.
            sending = deliveries.standing(session, self._issue, Lock.OWN)
            rest = self._rest()
            self._learned += [Handed(row, tries, rest) for row, tries in self._with_provider.values()]
            self._with_provider = {}
            deliveries.mark(session, sending.state, self._learned, self._owner, self._clocks)
            deliveries.give_back(session, self._issue, self._owner, self._clocks.real())
            if self._refuses_all and sending.state == GOING:
                # Else the next sending would use up as many readers again.
                deliveries.pause(session, self._issue)
            if self._busy:
                deliveries.hold(session, sending, self._busy.why, self._busy.wish, self._clocks)
            elif isinstance(self.error, NotAllowed | Unreachable):
                deliveries.complain(session, sending, str(self.error), self._clocks)
            elif self._has_accepted:
                deliveries.clear_trouble(session, sending)

    def _rest(self) -> Outcome | None:
        """What to say of messages that the provider still has."""
        if isinstance(self.error, NotAllowed | Unreachable):
            return None
        if self.error is not None:
            return InDoubt("", f"the provider broke off: {type(self.error).__name__}: {self.error}")
        return InDoubt("", "the sending was stopped before the provider answered")

    def _more(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages whose hand-over is on record; none when none is due, or it must stop."""
        with self._lock:
            while not (self._is_closed or self._halt.is_asked or self._busy or self._refuses_all):
                if not self._claimed:
                    self._claim()
                batch = [self._claimed.popleft() for _ in range(min(limit, len(self._claimed)))]
                messages = {claimed.id: self._composed_for(claimed) for claimed in batch}
                leaving = self._record(list(messages))
                if leaving is None or not batch:
                    return []
                self._with_provider |= {messages[row].key: (row, tries) for row, tries in leaving.items()}
                if leaving:
                    self._busy.size = len(leaving)
                    return [messages[row] for row in messages if row in leaving]
            return []

    def _claim(self) -> None:
        now, real, rules = self._clocks.now(), self._clocks.real(), self._rules
        with self._store.write() as session:
            self._claimed.extend(
                deliveries.claim(session, self._issue, self._owner, rules.chunk, now, real, rules.since)
            )

    def _record(self, ids: Sequence[int]) -> dict[int, int] | None:
        """What was learned, and that these are about to leave: in one transaction, and then by the witness.

        Returns which of them may leave and how often they were tried; None when the issue is paused or cancelled.
        """
        if not (ids or self._learned):
            return {}
        with self._store.begin() as connection:
            state = deliveries.state_of(connection, self._issue)
            deliveries.mark(connection, state, self._learned, self._owner, self._clocks)
            goes_on = state == GOING
            leaving, name, number = self._leave(connection, ids) if ids and goes_on else ({}, "", 0)
        learned, self._learned = self._learned, []
        if leaving:
            self._testify(leaving, name, number)
        self._progress(len(learned))
        return leaving if goes_on else None

    def _leave(self, connection: Connection, ids: Sequence[int]) -> tuple[dict[int, int], str, int]:
        """Make these `handing`: which of them, and the ledger's name and the number of this hand-over."""
        leaving = deliveries.mark_handing(connection, ids, self._owner, self._provider.name, self._clocks)
        # Last: until the commit it holds up every other sending.
        name, number = deliveries.count_hand_over(connection)
        self._witness.check(name, number - 1)
        return leaving, name, number

    def _testify(self, leaving: dict[int, int], name: str, number: int) -> None:
        try:
            self._witness.record(name, number)
        except OSError:
            self._learned = [Handed(row, tries, None) for row, tries in leaving.items()]
            raise

    def _learn(self, outcome: Outcome) -> None:
        """Keep an outcome for the next transaction."""
        with self._lock:
            found = self._with_provider.pop(outcome.key, None)
            if found is not None:
                self._learned.append(Handed(*found, outcome))
                self._prepare()
                self._busy.note(outcome)
                self._has_accepted |= isinstance(outcome, Accepted)
                if isinstance(outcome, Refused):
                    self._refused, self._why = self._refused + 1, outcome.why

    def _composed_for(self, claimed: Claimed) -> Message:
        return self._composed.pop(claimed.id) if claimed.id in self._composed else self._compose(claimed)

    def _prepare(self) -> None:
        """Compose a message that will leave soon: others are on their way, and the time is nobody's."""
        if len(self._composed) < len(self._claimed) and self._with_provider:
            claimed = self._claimed[len(self._composed)]
            # What cannot be composed says so when its turn comes, and breaks off nothing that is on its way.
            with contextlib.suppress(Exception):
                self._composed[claimed.id] = self._compose(claimed)

    @property
    def _refuses_all(self) -> bool:
        return self._refused >= MOST_REFUSED and not self._has_accepted


@dataclass(slots=True)
class _Busy:
    """Whether the provider has no time for anybody: it said "not now" to many messages in a row.

    One call is enough when it came with a wish, in seconds. ``size`` is how many messages left together at last.
    """

    batch: int
    size: int = 1
    in_a_row: int = 0
    wish: float = 0.0
    why: str = ""

    def note(self, outcome: Outcome) -> None:
        """Hear what became of a message."""
        if isinstance(outcome, TryLater):
            self.in_a_row, self.why = self.in_a_row + 1, outcome.why
            self.wish = max(self.wish, outcome.after)
        else:
            self.in_a_row, self.wish, self.why = 0, 0.0, ""

    def __bool__(self) -> bool:
        return self.in_a_row >= (self.size if self.wish else MOST_BUSY_CALLS * self.batch)
