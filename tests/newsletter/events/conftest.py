"""A ledger with deliveries that left, for reports to come in about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlmodel import select

import subscribers
from newsletter import events
from newsletter.events import Event, Kind, Recorded
from newsletter.store import Store
from newsletter.store.tables import DeliveryRow, EventRow, IssueRow, SendingRow
from tests.newsletter.makers import DAY

LATER = DAY + dt.timedelta(hours=1)


@dataclass
class Ledger:
    """Issues that went to readers 1, 2, ... each."""

    store: Store
    readers: int
    issues: int = 0

    def issue(self, state: str = "accepted") -> int:
        """One more issue, with a delivery in that state to every reader. Returns its number."""
        with self.store.write() as session:
            row = IssueRow(
                slot=None, date=DAY.date(), title="x", state="frozen", input_hash="", created_at=DAY, selection={}
            )
            session.add(row)
            session.flush()
            session.add(SendingRow(issue_id=row.id or 0))
            for reader in range(1, self.readers + 1):
                session.add(
                    DeliveryRow(
                        issue_id=row.id or 0, subscriber_id=reader, state=state, due_at=DAY, try_at=DAY, changed_at=DAY
                    )
                )
            return row.id or 0

    def hear(self, *events_: Event) -> Recorded:
        """Record these reports in one transaction."""
        with self.store.write() as session:
            return events.record(session, events_, LATER)

    def state(self, key: str) -> str:
        """The state of a delivery."""
        return self.row(key).state

    def row(self, key: str) -> DeliveryRow:
        """A delivery's row."""
        issue, reader = map(int, key.split("-"))
        with self.store.read() as session:
            query = select(DeliveryRow).where(DeliveryRow.issue_id == issue, DeliveryRow.subscriber_id == reader)
            return session.exec(query).one()

    def kept(self) -> list[EventRow]:
        """The reports that were kept, in the order in which they came."""
        with self.store.read() as session:
            return list(session.exec(select(EventRow).order_by(EventRow.id)))  # type: ignore[arg-type]  # a column

    def barred(self, reader: int) -> set[str]:
        """The kinds of what stands against a reader's address."""
        with self.store.read() as session:
            return {kind.value for kind in subscribers.suppressions(session, f"reader{reader}@example.com")}

    def mailable(self) -> int:
        """How many readers would get the next issue."""
        with self.store.read() as session:
            query = select(subscribers.Subscriber).where(subscribers.mailable(LATER))
            return len(session.exec(query).all())


def event(key: str, kind: Kind, ref: str = "", *, minutes: int = 0, why: str = "", address: str = "") -> Event:
    """A report of a time after the day of the makers."""
    return Event(key, kind, DAY + dt.timedelta(minutes=minutes), why, ref or f"{key}/{kind}/{minutes}", address)


@pytest.fixture
def open_ledger(store: Store) -> Callable[[int], Ledger]:
    """Makes a ledger with so many readers."""

    def make(readers: int) -> Ledger:
        with store.write() as session:
            for reader in range(1, readers + 1):
                address = f"reader{reader}@example.com"
                subscribers.add(session, address, now=DAY, how="test", consent_text="yes", active=True)
        return Ledger(store, readers)

    return make


@pytest.fixture
def ledger(open_ledger: Callable[[int], Ledger]) -> Ledger:
    """Three readers who were sent issue 1."""
    made = open_ledger(3)
    made.issue()
    return made
