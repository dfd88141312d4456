"""Databases as other versions of the program leave them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

OLDER, NEWER = "0007", "9999"

_BACK = """
ALTER TABLE sending DROP COLUMN audience;
CREATE INDEX ix_delivery_claim ON delivery (claimed_by, state);
"""
"""Takes today's schema back to `OLDER`."""


def make_older(file: Path) -> None:
    """Make a database one of the schema `OLDER`."""
    _make(file, _BACK, OLDER)


def make_newer(file: Path) -> None:
    """Make a database one of the schema `NEWER`, which there is not."""
    _make(file, "", NEWER)


def _make(file: Path, script: str, version: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.executescript(f"{script} UPDATE alembic_version SET version_num = '{version}'")
