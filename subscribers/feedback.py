"""Whether a piece was worth its readers' time: one word a reader and piece, counted for the owner and the selection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers.tables import Feedback


@dataclass(frozen=True, slots=True)
class Votes:
    """How many readers found a piece worth their time, and how many did not."""

    worth: int = 0
    not_worth: int = 0


def give(session: Session, subscriber_id: int, piece_id: int, is_worth: bool, *, now: dt.datetime) -> None:
    """Keep a reader's word on a piece, in place of an earlier one."""
    session.merge(Feedback(subscriber_id=subscriber_id, piece_id=piece_id, is_worth=is_worth, at=now))
    session.flush()


def given(session: Session, subscriber_id: int, piece_id: int) -> bool | None:
    """What a reader said of a piece, or None."""
    found = session.get(Feedback, (subscriber_id, piece_id))
    return None if found is None else found.is_worth


def votes(session: Session, piece_ids: Collection[int]) -> dict[int, Votes]:
    """The votes on pieces, by piece; pieces without any are left out."""
    rows = session.execute(
        select(col(Feedback.piece_id), col(Feedback.is_worth), func.count())
        .where(col(Feedback.piece_id).in_(piece_ids))
        .group_by(col(Feedback.piece_id), col(Feedback.is_worth))
    )
    found: dict[int, Votes] = {}
    for piece, is_worth, number in rows:
        old = found.get(piece, Votes())
        found[piece] = Votes(number, old.not_worth) if is_worth else Votes(old.worth, number)
    return found
