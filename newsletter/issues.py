"""Issues in the database: drafts, the owner's rulings on them, the freeze of their pieces, and how they are read again.

A draft consumes nothing: it can be thrown away and made again. Only `publish` takes its pieces, and the primary key of
the table of publications makes it impossible to take a piece twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from newsletter import pieces, summaries
from newsletter.problems import Misused
from newsletter.store.tables import IssuePieceRow, IssueRow, PieceRow, PublicationRow, RulingRow, SummaryRow
from newsletter.values import Choice, Issue, IssuePiece, Selection

DRAFT, FROZEN, REJECTED = "draft", "frozen", "rejected"
DROP, PIN = "drop", "pin"
_MONTHS = (
    "January February March April May June July August September October November December"
).split()


class IssueError(Misused):
    """The issue cannot be used so. The text says what, why and which command mends it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a draft is made of, before it is stored. ``entries`` pair each piece with its summary's number."""

    slot: str
    date: dt.date
    title: str
    input_hash: str
    selection: Selection
    entries: tuple[tuple[IssuePiece, int], ...]


def title_for(name: str, date: dt.date) -> str:
    """The dated title of an issue: ``AI Research Digest — 29 May 2026``."""
    return f"{name} \N{EM DASH} {date.day} {_MONTHS[date.month - 1]} {date.year}"


def save(session: Session, draft: Draft, now: dt.datetime, number: int | None = None) -> int:
    """Store a draft as a new issue, or in the place of the draft ``number``. Returns the issue's number."""
    if number and row_of(session, number).state != DRAFT:
        raise IssueError(f"issue {number} is no draft any more; `newsletter issues list` shows where it is")
    row = session.merge(
        IssueRow(
            id=number,
            slot=draft.slot,
            date=draft.date,
            title=draft.title,
            state=DRAFT,
            input_hash=draft.input_hash,
            created_at=now,
            selection=selection_json(draft.selection),
        )
    )
    session.flush()
    session.exec(delete(IssuePieceRow).where(col(IssuePieceRow.issue_id) == row.id))
    for position, (entry, summary_id) in enumerate(draft.entries, 1):
        session.add(
            IssuePieceRow(
                issue_id=row.id or 0,
                piece_id=entry.piece.id,
                position=position,
                summary_id=summary_id,
                score=entry.score,
                why=entry.why,
                topics=list(entry.topics),
            )
        )
    session.flush()
    return row.id or 0


def selection_json(selection: Selection) -> dict[str, Any]:
    """The whole selection with every reason, as plain JSON values."""
    return {
        "shortfall": selection.shortfall,
        "chosen": [_choice_json(choice) for choice in selection.chosen],
        "left_out": [_choice_json(choice) for choice in selection.left_out],
    }


def _choice_json(choice: Choice) -> dict[str, Any]:
    appraisal = choice.appraisal
    return {
        "piece": appraisal.piece.id,
        "title": appraisal.piece.title,
        "source": appraisal.piece.source.name,
        "score": appraisal.score,
        "why": choice.why,
        "topics": list(appraisal.topics),
        "parts": [{"name": part.name, "points": part.points, "why": part.why} for part in appraisal.parts],
    }


def row_of(session: Session, number: int) -> IssueRow:
    """The row of an issue. Raises IssueError when there is none of that number."""
    row = session.get(IssueRow, number)
    if row is None:
        raise IssueError(f"there is no issue {number}; `newsletter issues list` shows them")
    return row


def load(session: Session, number: int) -> Issue:
    """An issue with its pieces and summaries. Raises IssueError when there is none of that number."""
    row = row_of(session, number)
    found = session.exec(
        select(IssuePieceRow, PieceRow, SummaryRow)
        .join(PieceRow, col(PieceRow.id) == col(IssuePieceRow.piece_id))
        .join(SummaryRow, col(SummaryRow.id) == col(IssuePieceRow.summary_id))
        .where(IssuePieceRow.issue_id == number)
        .order_by(col(IssuePieceRow.position))
    ).all()
    entries = tuple(
        IssuePiece(pieces.to_piece(piece), summaries.from_json(summary.body), tuple(entry.topics), entry.score, entry.why)
        for entry, piece, summary in found
    )
    return Issue(number, row.date, row.title, entries, row.state)


def draft_number(session: Session) -> int | None:
    """The number of the newest draft, or None."""
    return session.exec(select(func.max(IssueRow.id)).where(IssueRow.state == DRAFT)).one()


def in_slot(session: Session, slot: str) -> IssueRow | None:
    """The issue that was made for a slot, or None."""
    return session.exec(select(IssueRow).where(IssueRow.slot == slot)).first()


def listing(session: Session) -> Sequence[IssueRow]:
    """All issues, newest first."""
    return session.exec(select(IssueRow).order_by(col(IssueRow.id).desc())).all()


def rulings(session: Session, number: int) -> dict[int, str]:
    """The owner's word on pieces of a draft: `drop` or `pin`, by the piece's number."""
    rows = session.exec(select(RulingRow).where(RulingRow.issue_id == number))
    return {row.piece_id: row.verdict for row in rows}


def rule(session: Session, number: int, piece_id: int, verdict: str) -> None:
    """Store the owner's word on a piece of a draft. Raises IssueError when it is no draft or no such piece exists."""
    if row_of(session, number).state != DRAFT:
        raise IssueError(f"issue {number} is out already; only a draft can be changed")
    if session.get(PieceRow, piece_id) is None:
        raise IssueError(f"there is no piece {piece_id}; `newsletter issues show {number} --why` lists them")
    session.merge(RulingRow(issue_id=number, piece_id=piece_id, verdict=verdict))


def reject(session: Session, number: int) -> None:
    """Throw a draft away. Its slot and its pieces are free again. Raises IssueError when it is out already."""
    row = row_of(session, number)
    if row.state != DRAFT:
        raise IssueError(f"issue {number} is {row.state}; only a draft can be rejected")
    row.state, row.slot = REJECTED, None
    session.add(row)


def publish(session: Session, number: int, now: dt.datetime) -> None:
    """Take the pieces of a draft for good and make it public.

    Raises IssueError when it is no draft, or one of its pieces came out in another issue meanwhile.
    """
    row = row_of(session, number)
    if row.state != DRAFT:
        raise IssueError(f"issue {number} is {row.state}; only a draft can be frozen")
    taken = session.exec(select(IssuePieceRow.piece_id).where(IssuePieceRow.issue_id == number)).all()
    session.add_all(PublicationRow(piece_id=piece_id, issue_id=number) for piece_id in taken)
    row.state, row.frozen_at = FROZEN, now
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise IssueError(
            f"a piece of issue {number} came out in another issue; `newsletter issues rebuild {number}` chooses again"
        ) from error
