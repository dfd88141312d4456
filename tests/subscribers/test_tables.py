"""Facts about how moments and words stand in the database."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers.tables import Subscriber
from tests.subscribers.conftest import NOW, added


def test_a_moment_comes_back_aware_and_in_utc(session: Session) -> None:
    subscriber = added(session, "ann@example.com")
    subscriber.paused_until = dt.datetime(2026, 7, 1, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    session.commit()
    session.expire_all()
    assert subscriber.paused_until == dt.datetime(2026, 6, 30, 22, 30, tzinfo=dt.UTC)
    assert subscriber.paused_until.tzinfo is dt.UTC


def test_moments_of_different_zones_compare_as_moments_in_sql(session: Session) -> None:
    for hours in (-8, 0, 8):
        zone = dt.timezone(dt.timedelta(hours=hours))
        until = dt.datetime(2026, 7, 1, 12, 0, microsecond=hours + 8, tzinfo=zone)
        added(session, f"u{hours + 8}@example.com").paused_until = until
    noon = dt.datetime(2026, 7, 1, 12, 0, tzinfo=dt.UTC)
    past = session.scalars(select(col(Subscriber.address)).where(col(Subscriber.paused_until) <= noon))
    assert list(past) == ["u16@example.com"]


def test_a_naive_datetime_is_refused(session: Session) -> None:
    subscriber = added(session, "ann@example.com")
    subscriber.paused_until = dt.datetime(2026, 7, 1)
    with pytest.raises(StatementError, match="names no moment"):
        session.flush()


@pytest.mark.parametrize("column", ["state", "frequency", "format"])
def test_the_database_refuses_a_word_that_we_do_not_know(session: Session, column: str) -> None:
    added(session, "ann@example.com")
    with pytest.raises(IntegrityError, match=f"ck_subscriber_{column}"):
        session.execute(text(f"UPDATE subscriber SET {column} = 'odd'"))


def test_the_database_refuses_a_second_row_for_an_identity(session: Session) -> None:
    first = added(session, "ann@example.com")
    second = Subscriber(identity=first.identity, identity_hash="x", address="x", state="active", created_at=NOW)
    session.add(second)
    with pytest.raises(IntegrityError, match="identity"):
        session.flush()
