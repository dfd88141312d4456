"""Asks SQLite how it finds the rows of statements, since a test of time would tell more of the machine."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session


def plans(engine: Engine, act: Callable[[Session], object]) -> list[str]:
    """How SQLite finds the rows of every statement of ``act``, a line a table; what ``act`` does is rolled back."""
    told: list[str] = []

    def explain(conn: object, cursor: object, statement: str, parameters: tuple[object, ...], *rest: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            with engine.connect() as other:
                rows = other.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                told.extend(row.detail for row in rows)

    with Session(engine) as session:
        event.listen(session.connection(), "before_cursor_execute", explain)
        act(session)
        session.rollback()
    return told


def read_through(told: list[str]) -> list[str]:
    """The lines of tables that are read from end to end."""
    return [line for line in told if "SCAN" in line and "CONSTANT ROW" not in line]
