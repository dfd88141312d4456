"""Facts about how long what is kept about people stays."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

import subscribers
from subscribers import consent, letters, limits, people
from subscribers.addresses import parse
from subscribers.ports import Letter
from subscribers.tables import AddressChange, Attempt, Consent, Salt, Subscriber, WaitingLetter
from tests.subscribers.conftest import NOW, added

DAY = dt.timedelta(days=1)
TICK = dt.timedelta(microseconds=1)


def count(session: Session, table: type[SQLModel]) -> int | None:
    return session.scalar(select(func.count()).select_from(table))


def networks(session: Session, subscriber: Subscriber) -> list[str | None]:
    session.expire_all()
    return [record.network for record in consent.of(session, subscriber.id)]


def test_one_sweep_drops_all_that_has_had_its_time_and_nothing_else(session: Session) -> None:
    gone, stayed = added(session, "gone@example.com"), added(session, "stayed@example.com")
    for someone in (gone, stayed):
        consent.record(session, someone, now=NOW, text="Yes", how="form", network="192.0.2.7")
    people.unsubscribe(session, gone.id, now=NOW)
    people.wish_address(session, stayed, parse("new@example.com"), now=NOW)
    letters.post(session, Letter("confirm", "stayed@example.com"), now=NOW)
    letters.accepted(session, letters.claim(session, "one", 1, now=NOW, real_now=NOW)[0].id)
    letters.post(session, Letter("confirm", "waits@example.com"), now=NOW)
    assert limits.allow(session, [(limits.ONE_NETWORK, "192.0.2.7")], now=NOW)

    subscribers.tidy(session, now=NOW + DAY - TICK)
    assert [count(session, t) for t in (AddressChange, WaitingLetter, Salt, Attempt)] == [1, 2, 1, 1]
    subscribers.tidy(session, now=NOW + 30 * DAY - TICK)
    assert [count(session, t) for t in (AddressChange, WaitingLetter, Salt, Attempt)] == [0, 1, 0, 0]
    assert networks(session, gone) == [None, "192.0.2.7"]
    subscribers.tidy(session, now=NOW + 30 * DAY)
    assert (networks(session, gone), networks(session, stayed)) == ([None, None], [None, "192.0.2.7"])
    assert (count(session, Subscriber), count(session, Consent)) == (2, 4)
    assert letters.counts(session) == {"planned": 1}


def test_a_second_sweep_of_a_day_changes_nothing(session: Session) -> None:
    added(session, "ann@example.com")
    for _ in range(2):
        subscribers.tidy(session, now=NOW)
        session.commit()
    assert count(session, Subscriber) == 1
