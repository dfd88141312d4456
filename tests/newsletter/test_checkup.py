"""A database is looked through: a sound one has no finding, and each fault has its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from newsletter.checkup import look_through
from newsletter.config import Config
from newsletter.store import Store, open_store
from newsletter.store.tables import SourceStateRow
from tests.newsletter.life import Life
from tests.newsletter.makers import DAY
from tests.newsletter.store.test_copies import file_of, hole


@pytest.fixture
def sound(store: Store) -> Iterator[Store]:
    """A database with an issue that three readers have."""
    life = Life(store, Config(), DAY)
    for name in ("ann", "bob", "cleo"):
        life.join(name)
    life.publish(((), 5.0))
    yield store


def test_a_sound_database_has_no_finding(sound: Store) -> None:
    assert look_through(sound) == []


def test_the_audience_is_written_at_the_freeze(sound: Store) -> None:
    with closing(sqlite3.connect(file_of(sound))) as database:
        assert database.execute("SELECT audience FROM sending").fetchall() == [(3,)]


FAULTS = {
    "DELETE FROM delivery WHERE id = 2": "issue 1 was frozen for 3 readers, and the ledger has 2 deliveries, 2 of them",
    "UPDATE delivery SET state = 'lost' WHERE id = 1": "3 deliveries, 2 of them in a state that there is",
    "DELETE FROM sending": "issue 1 is frozen and has no sending",
    "UPDATE issue SET state = 'draft'": "issue 1 is draft and has a sending",
    "UPDATE delivery SET edition_id = NULL WHERE id = 3": "1 deliveries have no edition though they go out",
    "UPDATE delivery SET state = 'handing', claimed_by = '' WHERE id = 3": "1 deliveries have no owner though one has",
    "UPDATE delivery SET state = 'handing', claimed_by = 'x', provider = ''": "3 deliveries have no provider though",
    "DELETE FROM ledger": "the ledger has 0 names and numbers",
    "DELETE FROM piece": "without their row of piece",
    "DROP TABLE correction": "table correction is missing",
    "UPDATE ledger SET handed = 0": "this database is an older copy",
    "UPDATE ledger SET name = 'ffffffffffffffff'": "belongs to another database",
}


@pytest.mark.parametrize("statement", FAULTS)
def test_each_fault_is_found_and_has_the_command_that_mends_it(sound: Store, statement: str) -> None:
    with closing(sqlite3.connect(file_of(sound))) as database, database:
        database.execute(statement)
    found = look_through(sound)
    assert any(FAULTS[statement] in one.what for one in found), found
    is_of_witness = "ledger SET" in statement
    mend = "newsletter deliveries trust" if is_of_witness else "newsletter db restore FILE"
    assert {one.mend for one in found} == {mend}


def test_damage_in_the_middle_is_found_and_nothing_else_is_asked(sound: Store) -> None:
    with sound.write() as session:
        session.add_all(SourceStateRow(key=f"{number} {'x' * 200}") for number in range(1000))
    sound.close()
    hole(file_of(sound))
    damaged = open_store(sound.url)
    found = look_through(damaged)
    damaged.close()
    assert found and all("\n" not in one.what for one in found)
    assert {one.mend for one in found} == {"newsletter db restore FILE"}


def test_a_database_of_either_kind_is_sound_after_a_sending(either_store: Store) -> None:
    life = Life(either_store, Config(), DAY)
    life.join("ann")
    life.publish(((), 5.0))
    assert look_through(either_store) == []
