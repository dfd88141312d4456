"""The list as a CSV file that a spreadsheet opens without running anything in it, and an import reads."""

from __future__ import annotations

import csv
import datetime as dt
from typing import Any, TextIO

from sqlalchemy import Row, select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import suppression
from subscribers.preferences import EVERYTHING
from subscribers.tables import State, Subscriber

_BATCH = 5000
_HEADINGS = (
    "email",
    "name",
    "state",
    "suppressed",
    "topics",
    "frequency",
    "format",
    "time_zone",
    "paused_until",
    "created_at",
)
_COLUMNS = (
    col(Subscriber.id),
    col(Subscriber.identity_hash),
    col(Subscriber.address),
    col(Subscriber.name),
    col(Subscriber.state),
    col(Subscriber.follows),
    col(Subscriber.frequency),
    col(Subscriber.format),
    col(Subscriber.time_zone),
    col(Subscriber.paused_until),
    col(Subscriber.created_at),
)


def write(session: Session, file: TextIO) -> int:
    """Write everybody, in the order of their ids, and return how many they are.

    Open ``file`` with ``newline=""``. The state of someone active whom a suppression keeps from mail is
    ``suppressed``, so that no import elsewhere takes them for a reader.
    """
    writer = csv.writer(file)
    writer.writerow(_HEADINGS)
    after, written = 0, 0
    query = select(*_COLUMNS).order_by(col(Subscriber.id)).limit(_BATCH)
    while rows := session.execute(query.where(col(Subscriber.id) > after)).all():
        kinds = suppression.kinds_of_many(session, [row.identity_hash for row in rows])
        writer.writerows(map(neutral, _cells(row, " ".join(sorted(kinds.get(row.identity_hash, ()))))) for row in rows)
        after, written = rows[-1].id, written + len(rows)
    return written


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: a quote goes before one (OWASP, "CSV injection")."""
    return (
        f"'{cell}"
        if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
        else cell
    )


def _cells(row: Row[*tuple[Any, ...]], suppressed: str) -> list[str]:
    state = "suppressed" if suppressed and row.state == State.ACTIVE else row.state
    topics = "everything" if row.follows == EVERYTHING else row.follows or "none"
    moments = [_moment(row.paused_until), _moment(row.created_at)]
    return [
        row.address,
        row.name,
        state,
        suppressed,
        topics,
        row.frequency,
        row.format,
        row.time_zone,
        *moments,
    ]


def _moment(moment: dt.datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")
