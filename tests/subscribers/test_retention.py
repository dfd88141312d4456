"""Facts about how long what is kept about people stays."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

import subscribers
from subscribers import consent, letters, limits, people
from subscribers.addresses import parse
from subscribers.ports import Letter
from subscribers.suppression import Lifter
from subscribers.tables import (
    AddressChange,
    Attempt,
    Consent,
    Kind,
    Salt,
    State,
    Subscriber,
    Suppression,
    WaitingLetter,
)
from tests.subscribers.conftest import NOW, added
from tests.subscribers.plans import plans, read_through

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
    assert [count(session, t) for t in (AddressChange, WaitingLetter, Salt, Attempt)] == [0, 0, 0, 0]
    assert networks(session, gone) == networks(session, stayed) == [None, "192.0.2.7"]
    subscribers.tidy(session, now=NOW + 30 * DAY)
    assert (networks(session, gone), networks(session, stayed)) == ([], [None, "192.0.2.7"])
    assert (count(session, Subscriber), count(session, Consent)) == (1, 2)


def test_who_left_is_a_keyed_hash_alone_after_30_days_and_no_import_brings_them_back(session: Session) -> None:
    gone = added(session, "gone@example.com")
    people.unsubscribe(session, gone.id, now=NOW)
    subscribers.tidy(session, now=NOW + 30 * DAY - TICK)
    assert people.find(session, "gone@example.com") is not None
    subscribers.tidy(session, now=NOW + 30 * DAY)
    assert people.find(session, "gone@example.com") is None
    assert people.suppressions(session, "gone@example.com") == {Kind.UNSUBSCRIBED}
    again = people.add(session, "Gone@Example.com", now=NOW, how="import", consent_text="Yes", active=True)
    assert (again.outcome, again.subscriber) == (people.Outcome.LEFT, None)
    asked = people.add(session, "gone@example.com", now=NOW, how="form", consent_text="Yes").subscriber
    assert asked is not None and people.confirm(session, asked.id, now=NOW, consent_text="Yes").state == State.ACTIVE


def test_a_complaint_that_is_lifted_after_the_person_is_forgotten_leaves_them_unsubscribed(session: Session) -> None:
    added(session, "cross@example.com")
    people.suppress(session, "cross@example.com", Kind.COMPLAINT, now=NOW)
    subscribers.tidy(session, now=NOW + 30 * DAY)
    assert people.lift(session, "cross@example.com", Kind.COMPLAINT, by=Lifter.OWNER)
    again = people.add(session, "cross@example.com", now=NOW, how="import", consent_text="Yes", active=True)
    assert again.outcome is people.Outcome.LEFT


def test_who_never_confirmed_is_forgotten_after_7_days_and_may_ask_again(session: Session) -> None:
    added(session, "maybe@example.com", active=False)
    subscribers.tidy(session, now=NOW + 7 * DAY - TICK)
    assert count(session, Subscriber) == 1
    subscribers.tidy(session, now=NOW + 7 * DAY)
    assert (count(session, Subscriber), count(session, Consent), count(session, Suppression)) == (0, 0, 0)
    assert added(session, "maybe@example.com", active=False).state == State.PENDING


def test_a_link_that_was_asked_for_lately_still_finds_its_reader(session: Session) -> None:
    left, new = added(session, "left@example.com"), added(session, "new@example.com", active=False)
    people.unsubscribe(session, left.id, now=NOW)
    for address in ("left@example.com", "new@example.com"):
        letters.post(session, Letter("confirm", address), now=NOW + 29 * DAY)
    subscribers.tidy(session, now=NOW + 36 * DAY - TICK)
    assert people.confirm(session, new.id, now=NOW + 36 * DAY - TICK, consent_text="Yes").state == State.ACTIVE
    assert people.find(session, "left@example.com") is not None
    subscribers.tidy(session, now=NOW + 36 * DAY)
    assert people.find(session, "left@example.com") is None


def test_many_are_forgotten_a_few_at_a_time(session: Session) -> None:
    for number in range(5):
        added(session, f"maybe{number}@example.com", active=False)
    steps = [people.forget_some(session, now=NOW + 7 * DAY, limit=2) for _ in range(4)]
    assert steps == [2, 2, 1, 0]


def test_whose_time_is_over_is_found_by_index(engine: Engine) -> None:
    told = plans(engine, lambda session: people.forget_some(session, now=NOW, limit=10))
    assert told and not read_through(told)


def test_a_letter_that_no_provider_took_for_a_week_goes_too(session: Session) -> None:
    letters.post(session, Letter("confirm", "waits@example.com"), now=NOW)
    subscribers.tidy(session, now=NOW + 7 * DAY - TICK)
    assert letters.counts(session) == {"planned": 1}
    subscribers.tidy(session, now=NOW + 7 * DAY)
    assert letters.counts(session) == {}


def test_a_second_sweep_of_a_day_changes_nothing(session: Session) -> None:
    added(session, "ann@example.com")
    for _ in range(2):
        subscribers.tidy(session, now=NOW)
        session.commit()
    assert count(session, Subscriber) == 1
