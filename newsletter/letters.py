"""Hands over the letters that wait: a confirmation, a welcome, the way to one's own data. By the issues' own provider.

Whose letters they are and when they may go is `subscribers`' business; this addresses them and carries them.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

import subscribers
from newsletter import deliveries, events
from newsletter.deliveries import LONGEST_WISH
from newsletter.masking import mask_addresses
from newsletter.messages import BadHeader, compose_letter
from newsletter.pipeline import Press, sender
from newsletter.problems import Problem, one_line
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Provider, Refused, TryLater, Unreachable
from newsletter.rendering import RenderingError
from newsletter.sending import Halt
from newsletter.values import Message
from subscribers import ClaimedLetter

LOOK_SECONDS = 20.0
"""How often the courier looks for letters that nobody called it for: those to be tried again."""

NOT_ALLOWED_WAIT = dt.timedelta(minutes=5)
UNREACHABLE_WAIT = dt.timedelta(minutes=1)
"""An outage ends by itself, and who asked for a letter is waiting."""
_AT_ONCE = 50


def send_due(press: Press, provider: Provider, is_over: Callable[[], bool] = lambda: False) -> int:
    """Hand over every letter that is due. Returns how many the provider took.

    ``is_over`` is asked before each claim; once it holds, nothing more is claimed. Raises NotAllowed when the
    provider does not accept us, and Unreachable when nobody answers; the letters are planned again.
    """
    owner = deliveries.owner()
    taken = 0
    while not is_over():
        with press.store.write() as session:
            claimed = subscribers.claim_letters(
                session, owner, min(provider.batch, _AT_ONCE), now=press.clocks.now(), real_now=press.clocks.real()
            )
        if not claimed:
            break
        taken += _hand_over(press, provider, claimed)
    return taken


def _hand_over(press: Press, provider: Provider, claimed: Sequence[ClaimedLetter]) -> int:
    composed: dict[int, Message] = {}
    outcomes: dict[int, Outcome] = {}
    for letter in claimed:
        try:
            composed[letter.id] = address(press, letter)
        except (RenderingError, BadHeader) as error:
            outcomes[letter.id] = Refused(letter.key, str(error))
    numbers = {message.key: number for number, message in composed.items()}
    refusal: NotAllowed | Unreachable | None = None
    try:
        for outcome in provider.hand_over(list(composed.values())):
            outcomes[numbers[outcome.key]] = outcome
    except (NotAllowed, Unreachable) as error:
        refusal = error
    with press.store.write() as session:
        for letter in claimed:
            _mark(session, letter.id, outcomes.get(letter.id), refusal, press.clocks.now())
    if refusal:
        raise refusal
    return sum(isinstance(outcome, Accepted) for outcome in outcomes.values())


def _mark(
    session: Session,
    number: int,
    outcome: Outcome | None,
    refusal: NotAllowed | Unreachable | None,
    now: dt.datetime,
) -> None:
    """Record what became of a letter. Without an outcome it was not taken; where all were refused, that was no try."""
    match outcome:
        case Accepted():
            subscribers.letter_accepted(session, number)
        case Refused(why=why):
            subscribers.letter_failed(session, number, mask_addresses(why))
        case TryLater(why=why, after=after):
            wait = dt.timedelta(seconds=min(after, LONGEST_WISH.total_seconds()))
            subscribers.put_letter_off(session, number, mask_addresses(why), now=now, after=wait, counts=True)
        case InDoubt(why=why):
            none = dt.timedelta()
            subscribers.put_letter_off(session, number, mask_addresses(why), now=now, after=none, counts=True)
        case None:
            why = str(refusal) if refusal else "the provider gave no answer"
            subscribers.put_letter_off(session, number, why, now=now, after=_wait(refusal), counts=refusal is None)


def _wait(refusal: NotAllowed | Unreachable | None) -> dt.timedelta:
    match refusal:
        case NotAllowed():
            return NOT_ALLOWED_WAIT
        case Unreachable():
            return UNREACHABLE_WAIT
        case None:
            return dt.timedelta()


def address(press: Press, letter: ClaimedLetter) -> Message:
    """A letter as the message to its one reader. Raises RenderingError and BadHeader."""
    config = press.config
    common = {"contact": config.delivery.reply_to or config.delivery.from_address, "address": letter.address}
    return compose_letter(
        press.renderer.letter(letter.kind, common | dict(letter.details)),
        sender(config),
        to=letter.address,
        key=letter.key,
        date=press.clocks.now(),
        unsubscribe_url=letter.details.get("unsubscribe_url", ""),
    )


def tidy(press: Press, is_over: Callable[[], bool] = lambda: False) -> None:
    """Keep nothing about people for longer than it may be kept, and no report for ever.

    A few at a time, since others write meanwhile; ``is_over`` is asked before each few.
    """
    for some in (_tidy_people, _tidy_reports):
        more = True
        while more and not is_over():
            with press.store.write() as session:
                more = some(session, press)


def _tidy_people(session: Session, press: Press) -> bool:
    return subscribers.tidy(session, now=press.clocks.now())


def _tidy_reports(session: Session, press: Press) -> bool:
    return events.tidy(session, press.clocks.real()) > 0


class Courier:
    """Hands letters over in a thread of its own, so that no request waits for a provider.

    Used as a context manager; at its end, or once ``halt`` is asked, no letter is begun, and what is being handed over
    has the halt's time to be finished: what then is not will be handed over again by the next courier. ``heard`` is
    told in one line when letters cannot go, once as long as that lasts. The courier sees to it as well that nothing
    about people is kept longer than it may, and no report for ever: once a day, and at its start.
    """

    def __init__(
        self, press: Press, provider: Provider, heard: Callable[[str], None], *, halt: Halt | None = None
    ) -> None:
        self._press = press
        self._provider = provider
        self._heard = heard
        self._halt = halt or Halt()
        self._called, self._ended = threading.Event(), threading.Event()
        self._tidied: dt.date | None = None
        self._failed = 0
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def __enter__(self) -> Courier:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what is in flight."""
        if not self._halt.is_asked:
            self._halt.ask()
        self._ended.set()
        self._called.set()
        self._thread.join(self._halt.seconds_left)

    def call(self) -> None:
        """Letters wait: look now."""
        self._called.set()

    def _run(self) -> None:
        while True:
            self._called.clear()
            # Asked after that: the end calls too, and its call must not be cleared unseen.
            if self._ended.is_set():
                return
            if self._round():
                self._called.wait(LOOK_SECONDS)
            else:
                self._ended.wait(LOOK_SECONDS)

    def _round(self) -> bool:
        """Hand over what is due. Returns whether that went as it should; if not, it was said why."""
        try:
            self._tidy()
            taken = send_due(self._press, self._provider, lambda: self._halt.is_asked)
            with self._press.store.read() as session:
                counts = subscribers.letter_counts(session)
        except (Problem, SQLAlchemyError) as error:
            self._say_trouble(one_line(error))
            return False
        except Exception as error:  # A bug must not end the thread: the pages would go on promising letters.
            self._say_trouble(f"a bug, {type(error).__name__}")
            return False
        self._say_failures(counts.get("failed", 0))
        if taken or "planned" not in counts:
            self._trouble = ""
        return True

    def _say_trouble(self, why: str) -> None:
        """Tell why letters wait, unless that was the last that was told of those that wait still."""
        if why != self._trouble:
            self._heard(f"letters wait: {why}")
        self._trouble = why

    def _say_failures(self, failed: int) -> None:
        """Tell how many letters have failed since it was told last. Why is on record; it may name an address."""
        if failed > self._failed:
            self._heard(f"letters that failed for good: {failed - self._failed}")
        self._failed = failed

    def _tidy(self) -> None:
        today = self._press.today()
        if self._tidied != today:
            tidy(self._press, lambda: self._halt.is_asked)
            self._tidied = today
