"""What the tests of people share: a database in a file, as the product has it, and a moment to stand at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

import subscribers

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: how fast the machine is just now is no property of ours."""

NOW = dt.datetime(2026, 5, 4, 7, 0, tzinfo=dt.UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database in a file, with foreign keys on."""
    engine = create_engine(f"sqlite:///{tmp_path / 'people.sqlite3'}")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    names = ["subscriber", "consent", "suppression", "pepper", "letter", "salt"]
    names += ["attempt", "address_change", "feedback"]
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[name] for name in names])
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session of that database."""
    with Session(engine) as session:
        yield session


def added(
    session: Session, address: str, preferences: subscribers.Preferences | None = None, *, active: bool = True
) -> subscribers.Subscriber:
    """Someone who is in the list."""
    addition = subscribers.add(
        session,
        address,
        now=NOW,
        how="test",
        consent_text="Yes, send me the digest.",
        preferences=preferences or subscribers.Preferences(),
        active=active,
    )
    assert addition.subscriber is not None
    return addition.subscriber
