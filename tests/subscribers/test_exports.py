"""Facts about the list as a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from subscribers import exports, imports, people, preferences
from subscribers.preferences import Preferences
from subscribers.tables import Format, Frequency, Kind
from tests.subscribers.conftest import NOW, added, steady


def exported(session: Session) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    assert exports.write(session, file) == file.getvalue().count("\r\n") - 1
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_everybody_stands_in_an_export_with_what_they_asked_for(session: Session) -> None:
    wish = Preferences(frozenset({"safety", "theory"}), Frequency.WEEKLY, NOW, Format.TEXT, "Europe/Berlin")
    added(session, "Ann@example.com", wish).name = "Ann"
    added(session, "bob@example.com", active=False)
    session.flush()
    assert exported(session) == [
        {
            "email": "Ann@example.com",
            "name": "Ann",
            "state": "active",
            "suppressed": "",
            "topics": "safety,theory",
            "frequency": "weekly",
            "format": "text",
            "time_zone": "Europe/Berlin",
            "paused_until": "2026-05-04T07:00:00+00:00",
            "created_at": "2026-05-04T07:00:00+00:00",
        },
        {
            "email": "bob@example.com",
            "name": "",
            "state": "pending",
            "suppressed": "",
            "topics": "everything",
            "frequency": "every",
            "format": "html",
            "time_zone": "",
            "paused_until": "",
            "created_at": "2026-05-04T07:00:00+00:00",
        },
    ]


@steady
@given(st.text(max_size=5))
def test_no_cell_begins_a_formula(cell: str) -> None:
    assert not exports.neutral(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1"])
def test_a_formula_gets_a_quote_and_other_cells_stay(cell: str) -> None:
    assert exports.neutral(cell) == f"'{cell}"
    assert exports.neutral(f"x{cell}") == f"x{cell}"


def test_an_export_imported_elsewhere_makes_the_same_readers_and_no_others(session: Session, tmp_path: Path) -> None:
    added(session, "=ann@example.com", Preferences(frozenset({"safety"}), Frequency.MONTHLY)).name = "=1+1"
    added(session, "none@example.com", Preferences(frozenset()))
    added(session, "pending@example.com", active=False)
    people.unsubscribe(session, added(session, "left@example.com").id, now=NOW)
    people.suppress_subscriber(session, added(session, "b@example.com").id, Kind.HARD_BOUNCE, now=NOW)
    session.commit()
    file = tmp_path / "export.csv"
    with file.open("w", newline="", encoding="utf-8-sig") as lines:
        exports.write(session, lines)
    other = elsewhere(tmp_path)
    report = imports.run(lambda: Session(other), file, imports.Plan("x", {"safety": "Safety"}), now=NOW)
    with Session(other) as there:
        found = [(who.address, who.name, preferences.get(who)) for who in people.page(there)]
    other.dispose()
    assert (report.added, report.refused) == (2, 3)
    assert found == [
        ("=ann@example.com", "=1+1", Preferences(frozenset({"safety"}), Frequency.MONTHLY)),
        ("none@example.com", "", Preferences(frozenset())),
    ]


def elsewhere(folder: Path) -> Engine:
    engine = create_engine(f"sqlite:///{folder / 'elsewhere.sqlite3'}")
    names = ["subscriber", "consent", "suppression", "pepper"]
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[name] for name in names])
    return engine
