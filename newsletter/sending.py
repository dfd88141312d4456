"""The sending of a frozen issue: claim, hand over once, record what became of it, until nothing is due or it must stop.

The order is what keeps anybody from getting a mail twice. In one transaction the outcomes of the last call are
recorded and the next deliveries become `handing`, so that at any moment only those of one call are in doubt; then the
witness gets the number of the call; then bytes leave. A provider works in a thread of its own, so that one that hangs
can be left behind.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from newsletter import deliveries
from newsletter.deliveries import GOING, Claimed, Clocks, Handed
from newsletter.providers import InDoubt, NotAllowed, Outcome, Provider, TryLater
from newsletter.store import Store
from newsletter.values import Message
from newsletter.witness import Witness

PATIENCE_SECONDS = 8.0
"""How long a stop waits for the provider's answer."""
MOST_BUSY_CALLS = 3
"""After so many calls in a row of which nothing was taken the provider is left alone for a while."""
WITNESS_FILE = "newsletter.witness"


class Halt:
    """Asks a sending to stop: nothing more is claimed, and what is in flight is given `PATIENCE_SECONDS` to end.

    `ask` may be called from a signal handler; a second time it means at once.
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
        return time.monotonic() >= self._ends


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

    ``compose`` addresses a message; ``progress`` hears how many have been handed over since the last call.
    Raises NotAllowed when the provider does not accept us, and NotTrusted when the database is not the newest of its
    copies: what was not taken is planned again.
    """
    rules, clerk = rules or Rules(), _Clerk(store, issue, provider, clocks, halt or Halt())
    clerk.begin(rules)
    try:
        while claimed := clerk.claim(rules):
            for start in range(0, len(claimed), provider.batch):
                batch = claimed[start : start + provider.batch]
                if not clerk.hand_over(batch, compose):
                    return
                progress(len(batch))
    except NotAllowed as error:
        clerk.trouble = str(error)
        raise
    finally:
        clerk.end()


@dataclass(slots=True)
class _Clerk:
    """One sending. ``handed`` are the outcomes of the last call, not in the database yet."""

    store: Store
    issue: int
    provider: Provider
    clocks: Clocks
    halt: Halt
    owner: str = field(default_factory=deliveries.owner)
    handed: list[Handed] = field(default_factory=list)
    witness: Witness = field(init=False)
    busy: int = 0
    wish: float = 0.0
    trouble: str = ""

    def __post_init__(self) -> None:
        self.witness = witness_of(self.store)

    def begin(self, rules: Rules) -> None:
        """Take over what dead processes left, and what was in doubt for too long."""
        repeatable = self.provider.name if self.provider.repeats_safely else ""
        with self.store.write() as session:
            self.witness.check(session)
            deliveries.recover(session, self.issue, self.clocks.real(), repeatable=repeatable)
            if rules.resend_doubts_after is not None:
                until = self.clocks.real() - rules.resend_doubts_after
                deliveries.send_doubts_again(session, self.issue, until, self.clocks)

    def claim(self, rules: Rules) -> list[Claimed]:
        """The next deliveries to hand over; none when nothing is due, or it must stop."""
        if self.halt.is_asked or self._is_busy:
            return []
        now, real = self.clocks.now(), self.clocks.real()
        with self.store.write() as session:
            return deliveries.claim(session, self.issue, self.owner, rules.chunk, now, real, rules.since)

    def hand_over(self, batch: Sequence[Claimed], compose: Callable[[Claimed], Message]) -> bool:
        """Hand over what one call takes. Whether to go on: not when it was stopped, paused or has to wait."""
        if self.halt.is_asked or self._is_busy:
            return False
        messages = {claimed.id: compose(claimed) for claimed in batch}
        with self.store.write() as session:
            deliveries.mark(session, self.issue, self.handed, self.owner, self.clocks)
            leaving, name, number = self._leave(session, list(messages))
        self.handed = []
        if leaving is None:
            return False
        if leaving:
            self.witness.record(name, number)
            self._call({row: (tries, messages[row]) for row, tries in leaving.items()})
        return not self.halt.is_asked

    def _leave(self, session: Session, ids: Sequence[int]) -> tuple[dict[int, int] | None, str, int]:
        """What may leave now, with the ledger's name and the number of this call; None when the issue may not go on."""
        if deliveries.standing(session, self.issue).state != GOING:
            return None, "", 0
        self.witness.check(session)
        leaving = deliveries.mark_handing(session, ids, self.owner, self.provider.name, self.clocks)
        ledger = deliveries.count_hand_over(session)
        return leaving, ledger.name, ledger.handed

    def _call(self, leaving: dict[int, tuple[int, Message]]) -> None:
        call = _Call(self.provider, [message for _, message in leaving.values()])
        try:
            call.run_until(self.halt)
        finally:
            missing = call.missing()
            self.handed = [
                Handed(row, tries, call.outcomes.get(message.key, missing)) for row, (tries, message) in leaving.items()
            ]
        if call.error is not None:
            raise call.error
        self._note_busy([one.outcome for one in self.handed])

    def _note_busy(self, outcomes: Sequence[Outcome | None]) -> None:
        """Count the calls in a row of which nothing was taken; one with a wish of the provider's is enough."""
        later = [outcome for outcome in outcomes if isinstance(outcome, TryLater)]
        if len(later) < len(outcomes):
            self.busy, self.trouble = 0, ""
            return
        self.busy, self.trouble = self.busy + 1, later[-1].why
        self.wish = max(outcome.after for outcome in later)
        if self.wish:
            self.busy = MOST_BUSY_CALLS

    @property
    def _is_busy(self) -> bool:
        return self.busy >= MOST_BUSY_CALLS

    def end(self) -> None:
        """Record the last outcomes, give back what was claimed, and say what stood in the way."""
        with self.store.write() as session:
            # Before any delivery: whoever pauses or cancels takes its locks in this order too.
            sending = deliveries.standing(session, self.issue)
            deliveries.mark(session, self.issue, self.handed, self.owner, self.clocks)
            deliveries.give_back(session, self.owner, self.clocks.real())
            if self._is_busy:
                deliveries.hold(session, sending, self.trouble, self.wish, self.clocks)
            elif self.trouble:
                deliveries.complain(session, sending, self.trouble, self.clocks)


class _Call:
    """One call of a provider, in a thread that ends with the process at the latest."""

    def __init__(self, provider: Provider, messages: Sequence[Message]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.error: BaseException | None = None
        self._provider, self._messages = provider, messages
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for outcome in self._provider.hand_over(self._messages):
                self.outcomes[outcome.key] = outcome
        except BaseException as error:  # not ours to judge: `send` raises it in its own thread
            self.error = error

    def run_until(self, halt: Halt) -> None:
        """Return when the provider is done, or a stop has waited long enough."""
        self._thread.start()
        while self._thread.is_alive() and not halt.is_over:
            self._thread.join(0.2)

    def missing(self) -> Outcome | None:
        """What to say of a message without an answer."""
        if isinstance(self.error, NotAllowed):
            return None
        if self._thread.is_alive():
            return InDoubt("", "the sending was stopped before the provider answered")
        if self.error is not None:
            return InDoubt("", f"the provider broke off: {type(self.error).__name__}: {self.error}")
        return InDoubt("", "the provider gave no answer for this message")
