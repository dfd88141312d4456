"""Looks a database through: whole file, references, schema, and whether the ledger adds up. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from newsletter import deliveries, issues, sending
from newsletter.deliveries import ACCEPTED, CLAIMED, HANDING, PLANNED, STATES
from newsletter.store import Store, copies
from newsletter.store.schema import differences
from newsletter.store.tables import DeliveryRow, EditionRow, IssueRow, LedgerRow, SendingRow

MOST_DAMAGES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and the command that mends it."""

    what: str
    mend: str


def look_through(store: Store) -> list[Finding]:
    """All that is wrong with a database. A damaged one is not looked at any further: what it says may be nonsense."""
    mend = _restore(store)
    damages = list(_damages(store))
    if damages:
        return [Finding(what, mend) for what in damages]
    found = [Finding(what, mend) for what in (*_dangling(store), *differences(store))]
    if found:
        return found
    with store.read() as session:
        found = [Finding(what, mend) for look in _LOOKS for what in look(session)]
        # Without the ledger's one row nobody can be asked whether it is the newest.
        problem = "" if found else sending.witness_of(store).problem(*deliveries.ledger(session, lock=False))
    return [*found, *([Finding(problem, "newsletter deliveries trust")] if problem else [])]


def _restore(store: Store) -> str:
    backup = copies.newest(copies.folder_of(store.file)) if store.file else None
    return f"newsletter db restore {backup or 'FILE'}" if store.file else "pg_restore"


def _damages(store: Store) -> Iterator[str]:
    if store.file is None:
        return
    with store.engine.connect() as connection:
        try:
            rows = connection.exec_driver_sql(f"PRAGMA integrity_check({MOST_DAMAGES})").scalars().all()
        except DBAPIError as error:
            rows = [str(error.orig)]
    yield from (" ".join(str(row).split()) for row in rows if row != "ok")


def _dangling(store: Store) -> Iterator[str]:
    """Rows that refer to rows that are not there; PostgreSQL has none."""
    if store.file is None:
        return
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    for (table, parent), count in Counter((row[0], row[2]) for row in rows).items():
        yield f"{count:,} {'row' if count == 1 else 'rows'} of {table} without their row of {parent}"


def _one_ledger(session: Session) -> Iterator[str]:
    rows = session.exec(select(func.count()).select_from(LedgerRow)).one()
    if rows != 1:
        yield f"the ledger has {rows} names and numbers of the last hand-over, not one"


def _audiences(session: Session) -> Iterator[str]:
    """The freeze said how many deliveries there are: none comes or goes since, and each is in a state that there is."""
    known = func.count(sqlalchemy.case((col(DeliveryRow.state).in_(STATES), 1)))
    query = (
        sqlalchemy.select(col(SendingRow.issue_id), col(SendingRow.audience), func.count(col(DeliveryRow.id)), known)
        .outerjoin_from(SendingRow, DeliveryRow, col(DeliveryRow.issue_id) == col(SendingRow.issue_id))
        .group_by(col(SendingRow.issue_id), col(SendingRow.audience))
        .order_by(col(SendingRow.issue_id))
    )
    for issue, audience, rows, in_states in session.execute(query):
        if not audience == rows == in_states:
            yield (
                f"issue {issue} was frozen for {audience:,} readers, and the ledger has {rows:,} deliveries, "
                f"{in_states:,} of them in a state that there is"
            )


def _sendings(session: Session) -> Iterator[str]:
    """Every frozen issue has its sending, and a draft has none."""
    query = (
        sqlalchemy.select(col(IssueRow.id), col(IssueRow.state), col(SendingRow.issue_id))
        .outerjoin_from(IssueRow, SendingRow, col(SendingRow.issue_id) == col(IssueRow.id))
        .where((col(IssueRow.state) == issues.FROZEN) != col(SendingRow.issue_id).is_not(None))
    )
    for issue, state, row in session.execute(query):
        yield f"issue {issue} is {state} and has {'a' if row else 'no'} sending"


def _deliveries(session: Session) -> Iterator[str]:
    """Each delivery has what its state needs."""
    row = DeliveryRow
    goes_out = col(row.state).in_((PLANNED, CLAIMED, HANDING, ACCEPTED))
    wrong: dict[str, ColumnElement[bool]] = {
        "no edition though they go out": and_(goes_out, col(row.edition_id).is_(None)),
        "no owner though one has them": and_(col(row.state).in_((CLAIMED, HANDING)), col(row.claimed_by) == ""),
        "no provider though they were handed over": and_(col(row.state) == HANDING, col(row.provider) == ""),
    }
    counts = session.execute(
        sqlalchemy.select(*(func.count(sqlalchemy.case((case, 1))) for case in wrong.values())).where(
            or_(*wrong.values())
        )
    ).one()
    yield from (f"{count:,} deliveries have {what}" for what, count in zip(wrong, counts, strict=True) if count)
    strange = (
        select(func.count())
        .select_from(row)
        .join(EditionRow, col(EditionRow.id) == col(row.edition_id))
        .where(col(EditionRow.issue_id) != col(row.issue_id))
    )
    if count := session.exec(strange).one():
        yield f"{count:,} deliveries have an edition of another issue"


_LOOKS: tuple[Callable[[Session], Iterator[str]], ...] = (_one_ledger, _audiences, _sendings, _deliveries)
