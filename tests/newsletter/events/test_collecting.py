"""Reading a mailbox: what is reported is recorded once, and only then is a mail marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from sqlmodel import Session

from newsletter.events import Kind, Recorded, collecting
from newsletter.events.collecting import Collected, collect
from newsletter.events.mails import LedgerClues
from tests.newsletter.events.conftest import LATER, Ledger
from tests.newsletter.events.mails import bounce, mail
from tests.newsletter.events.test_mails import SENDER, SIGNED, TOKENS

MAILS = {
    "bounce": bounce(original=SIGNED),
    "reply": mail("From: reader2@example.com", "Subject: Out of office", "Auto-Submitted: auto-replied"),
    "letter": mail("From: reader2@example.com", "Subject: Thank you"),
}


@dataclass
class Box:
    """A mailbox that forgets to mark, when it is told to."""

    breaks: bool = False
    finished: list[str] = field(default_factory=list)

    def names(self) -> Sequence[str]:
        return [name for name in MAILS if name not in self.finished]

    def fetch(self, name: str) -> bytes:
        return MAILS[name]

    def finish(self, names: Sequence[str], *, delete: bool) -> None:
        if self.breaks:
            raise OSError("the connection ended")
        self.finished += names


def _clues(session: Session) -> LedgerClues:
    return LedgerClues(session, TOKENS, SENDER)


def test_reports_and_automatic_replies_are_done_with_and_the_rest_is_left(ledger: Ledger) -> None:
    box = Box()
    assert collect(ledger.store, box, _clues, LATER) == Collected(3, 1, 1, Recorded({Kind.HARD_BOUNCE: 1}))
    assert box.finished == ["bounce", "reply"]
    assert collect(ledger.store, box, _clues, LATER) == Collected(1, 0, 1, Recorded({}))


def test_what_was_recorded_and_not_marked_is_not_recorded_twice(ledger: Ledger) -> None:
    with pytest.raises(OSError, match="ended"):
        collect(ledger.store, Box(breaks=True), _clues, LATER)
    assert ledger.barred(1) == {"hard_bounce"}
    assert collect(ledger.store, Box(), _clues, LATER).recorded == Recorded({}, 0, 1)


def test_a_large_mailbox_is_read_in_parts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_CHUNK", 1)
    box = Box()
    assert collect(ledger.store, box, _clues, LATER).mails == 3
    assert box.finished == ["bounce", "reply"]
