"""What asking the model came to: kept call by call, and added up by piece and by issue."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select, update

from newsletter.claude import Call
from newsletter.store import Store
from newsletter.store.tables import CallRow, IssueRow, PieceRow


@dataclass(frozen=True, slots=True)
class Cost:
    """Questions that were asked for one thing, added up.

    ``calls`` went to the service, ``cached`` were answered from what is kept, ``failed`` of either brought no
    answer. ``unpriced`` calls have no known price and are not in ``usd``.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all kinds."""
        return self.input_tokens + self.output_tokens + self.cache_write_tokens + self.cache_read_tokens

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        names = ("calls", "cached", "failed", "input_tokens", "output_tokens", "cache_write_tokens")
        counts = {name: getattr(self, name) for name in (*names, "cache_read_tokens", "unpriced")}
        return {**counts, "usd": round(self.usd, 6)}


@dataclass(frozen=True, slots=True)
class PieceCost:
    """What one piece cost; number 0 and an empty title stand for the candidates as a whole."""

    piece: int
    title: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class IssueCost:
    """What one issue cost; number 0 stands for runs that came to no issue."""

    issue: int
    title: str
    cost: Cost


@dataclass(slots=True)
class StoredMeter:
    """Keeps every call in the database (see `newsletter.claude.Meter`), and hands them to the issue they were for."""

    store: Store
    _unassigned: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: Call) -> None:
        """Keep a call, of no issue yet."""
        usage = call.usage
        row = CallRow(
            piece_id=call.piece or None,
            at=dt.datetime.now(dt.UTC),
            purpose=call.purpose,
            model=call.model,
            outcome=call.outcome,
            cached=call.cached,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cost_usd=call.cost_usd,
            seconds=call.seconds,
        )
        with self._lock:
            with self.store.write() as session:
                session.add(row)
                session.flush()
            self._unassigned.append(row.id or 0)

    def assign(self, session: Session, issue: int) -> None:
        """Put the calls since the last time to an issue's account."""
        with self._lock:
            numbers, self._unassigned = self._unassigned, []
        session.exec(update(CallRow).where(col(CallRow.id).in_(numbers)).values(issue_id=issue))


def by_piece(session: Session, issue: int) -> list[PieceCost]:
    """What each piece of an issue cost in the making of that issue, those that were not chosen in the end too."""
    rows = session.exec(
        select(CallRow, PieceRow.title)
        .outerjoin(PieceRow, col(PieceRow.id) == col(CallRow.piece_id))
        .where(CallRow.issue_id == issue)
        .order_by(col(CallRow.id))
    ).all()
    titles = {row.piece_id or 0: title or "" for row, title in rows}
    return [
        PieceCost(piece, title, add_up(row for row, _ in rows if (row.piece_id or 0) == piece))
        for piece, title in titles.items()
    ]


def of_issue(session: Session, issue: int) -> Cost:
    """What the making of an issue cost."""
    return add_up(session.exec(select(CallRow).where(CallRow.issue_id == issue)))


def by_issue(session: Session) -> list[IssueCost]:
    """What each issue cost, newest first, and last what came to no issue."""
    rows = session.exec(
        select(CallRow, IssueRow.title).outerjoin(IssueRow, col(IssueRow.id) == col(CallRow.issue_id))
    ).all()
    titles = {row.issue_id or 0: title or "" for row, title in rows}
    return [
        IssueCost(issue, titles[issue], add_up(row for row, _ in rows if (row.issue_id or 0) == issue))
        for issue in sorted(titles, reverse=True)
    ]


def add_up(rows: Iterable[CallRow]) -> Cost:
    """The sum of calls."""
    found = list(rows)
    asked = [row for row in found if not row.cached]
    return Cost(
        calls=len(asked),
        cached=len(found) - len(asked),
        failed=sum(bool(row.outcome) for row in found),
        input_tokens=sum(row.input_tokens for row in asked),
        output_tokens=sum(row.output_tokens for row in asked),
        cache_write_tokens=sum(row.cache_write_tokens for row in asked),
        cache_read_tokens=sum(row.cache_read_tokens for row in asked),
        usd=sum(row.cost_usd or 0.0 for row in asked),
        unpriced=sum(row.cost_usd is None for row in asked),
    )
