"""What many tests of newsletter need: a real database file with the current schema."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.store import Store, open_store


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
