"""Facts about what an older copy of the list learns of a newer one."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import col

from newsletter.store import Store, open_store
from subscribers import people
from subscribers.carrying import carry_over
from subscribers.tables import Kind, State, Subscriber
from tests.subscribers.conftest import NOW, added

DAY = dt.timedelta(days=1)


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[Store]:
    """A list of five, of which `older.sqlite3` is a copy."""
    with closing(open_store(f"sqlite:///{tmp_path}/newer.sqlite3")) as store:
        with store.write() as session:
            for name in ("stays", "leaves", "erased", "bounces", "comes-back"):
                added(session, f"{name}@example.com")
            people.unsubscribe(session, 5, now=NOW)
        store.engine.dispose()
        shutil.copy(tmp_path / "newer.sqlite3", tmp_path / "older.sqlite3")
        yield store


@pytest.fixture
def older(newer: Store, tmp_path: Path) -> Iterator[Store]:
    """The copy."""
    with closing(open_store(f"sqlite:///{tmp_path}/older.sqlite3")) as store:
        yield store


def test_every_no_since_the_copy_was_made_holds_in_it(newer: Store, older: Store) -> None:
    with newer.write() as session:
        people.unsubscribe(session, 2, now=NOW + DAY, reason="one-click")
        people.erase(session, 3, now=NOW + DAY)
        people.suppress(session, "bounces@example.com", Kind.HARD_BOUNCE, now=NOW + DAY)
        people.suppress(session, "nobody@example.com", Kind.OWNER, now=NOW + DAY, note="asked by mail")
    with newer.read() as source, older.write() as target:
        assert carry_over(source, target) == 4
    with older.read() as session:
        states = {row.address.partition("@")[0]: row.state for row in session.scalars(select(Subscriber))}
        assert states == {
            "stays": "active",
            "leaves": "unsubscribed",
            "bounces": "active",
            "comes-back": "unsubscribed",
        }
        leaves = session.scalars(select(Subscriber).where(col(Subscriber.id) == 2)).one()
        assert (leaves.left_at, leaves.state_reason) == (NOW + DAY, "one-click")
        assert people.suppressions(session, "bounces@example.com") == {Kind.HARD_BOUNCE}
        assert people.suppressions(session, "erased@example.com") == {Kind.ERASED}
        assert people.suppression_records(session, "nobody@example.com")[0].note == "asked by mail"


def test_a_yes_since_the_copy_was_made_is_not_carried_over(newer: Store, older: Store) -> None:
    with newer.write() as session:
        people.undo(session, 5, now=NOW + DAY)
    with newer.read() as source, older.write() as target:
        assert carry_over(source, target) == 0
    with older.read() as session:
        assert people.get(session, 5).state == State.UNSUBSCRIBED


def test_a_second_time_changes_nothing(newer: Store, older: Store) -> None:
    with newer.write() as session:
        people.unsubscribe(session, 2, now=NOW)
    for expected in (1, 0):
        with newer.read() as source, older.write() as target:
            assert carry_over(source, target) == expected


def test_a_list_whose_hashes_are_of_another_key_is_not_asked(newer: Store, tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/strange.sqlite3")) as strange:
        with strange.write() as session:
            added(session, "stays@example.com")
            people.unsubscribe(session, 1, now=NOW)
        with strange.read() as source, newer.write() as target:
            assert carry_over(source, target) is None
            assert people.get(target, 1).state == State.ACTIVE


def test_a_list_that_never_hashed_anything_has_no_no(tmp_path: Path, newer: Store) -> None:
    new = open_store(f"sqlite:///{tmp_path}/new.sqlite3")
    with closing(new), new.read() as source, newer.write() as target:
        assert carry_over(source, target) == 0
