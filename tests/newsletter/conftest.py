"""What many tests of newsletter need: a real database file with the current schema."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.store import Store, open_store
from tests.newsletter import postgres


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows; copied, since migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("store") / "empty.sqlite3"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty database of the test's own."""
    file = tmp_path / "newsletter.sqlite3"
    shutil.copy(empty_database, file)
    opened = open_store(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of the tests' own."""
    if why := postgres.missing():
        pytest.skip(f"{why}: the ledger was not tried on PostgreSQL")
    with postgres.cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty database of the test's own, of each of the two kinds."""
    if request.param == "sqlite":
        yield request.getfixturevalue("store")
        return
    opened = open_store(request.getfixturevalue("cluster").database(), beside=tmp_path)
    yield opened
    opened.close()
