"""Read a mailbox for reports: record what they say, then mark the mails. Interrupted, the same again goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlmodel import Session

from newsletter.events import Recorded, record
from newsletter.events.mailboxes import Mailbox
from newsletter.events.mails import Clues, Sort, read
from newsletter.store import Store

_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of reading a mailbox: how many mails there were, of which automatic replies and others, and reports."""

    mails: int = 0
    automatic: int = 0
    other: int = 0
    recorded: Recorded = field(default_factory=lambda: Recorded({}))

    def __add__(self, more: Collected) -> Collected:
        return Collected(
            self.mails + more.mails,
            self.automatic + more.automatic,
            self.other + more.other,
            self.recorded + more.recorded,
        )


def collect(
    store: Store, box: Mailbox, clues: Callable[[Session], Clues], now: dt.datetime, *, delete: bool = False
) -> Collected:
    """Record what the unread mails of a mailbox report.

    Reports and automatic replies are marked as read, or deleted; a mail that says nothing to us stays unread, for a
    person. ``now`` is the machine's time.
    """
    names, total = list(box.names()), Collected()
    for start in range(0, len(names), _CHUNK):
        total += _collect(store, box, names[start : start + _CHUNK], clues, now, delete)
    return total


def _collect(
    store: Store, box: Mailbox, names: list[str], clues: Callable[[Session], Clues], now: dt.datetime, delete: bool
) -> Collected:
    mails = {name: box.fetch(name) for name in names}
    with store.write() as session:
        known = clues(session)
        readings = {name: read(data, known, now) for name, data in mails.items()}
        recorded = record(session, [event for reading in readings.values() for event in reading.events], now)
    # Only now: what is marked before it is recorded would be lost with this process.
    box.finish([name for name, reading in readings.items() if reading.sort is not Sort.OTHER], delete=delete)
    sorts = [reading.sort for reading in readings.values()]
    return Collected(len(names), sorts.count(Sort.AUTOMATIC), sorts.count(Sort.OTHER), recorded)
