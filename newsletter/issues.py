"""Issues in the database: drafts, the owner's rulings on them, the freeze of their pieces, and how they are read again.

A draft consumes nothing: it can be thrown away and made again. Only `publish` takes its pieces, and the primary key of
the table of publications makes it impossible to take a piece twice.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Text, and_, cast, delete, func, or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from newsletter import pieces, summaries
from newsletter.problems import Misused
from newsletter.slots import Slot
from newsletter.store.tables import (
    ApprovalRow,
    CorrectionRow,
    EmptySlotRow,
    IssuePieceRow,
    IssueRow,
    PieceRow,
    PublicationRow,
    RulingRow,
    SummaryRow,
)
from newsletter.values import EVERY, Choice, Issue, IssuePiece, Selection, minutes_of

DRAFT, FROZEN, REJECTED, CANCELLED = "draft", "frozen", "rejected", "cancelled"
DROP, PIN = "drop", "pin"
NOTE, WITHDRAWN = "note", "withdrawn"
LATELY = dt.timedelta(days=30)
"""How far back the pieces of a topic are counted."""


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
        "said": appraisal.why,
        "note": appraisal.note,
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
    entries = tuple(_entry(entry, piece, summary) for entry, piece, summary in found)
    return Issue(number, row.date, row.title, entries, row.state, row.kind)


def _entry(row: IssuePieceRow, piece: PieceRow, summary: SummaryRow, *, at_home: bool = False) -> IssuePiece:
    return IssuePiece(
        pieces.to_piece(piece),
        summaries.from_json(summary.body),
        tuple(row.topics),
        row.score,
        row.why,
        (row.issue_id, row.position) if at_home else None,
    )


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


def past_titles(session: Session, most: int) -> list[str]:
    """Titles of the pieces that came out, newest issue first."""
    query = (
        select(PieceRow.title)
        .join(PublicationRow, col(PublicationRow.piece_id) == col(PieceRow.id))
        .order_by(col(PublicationRow.issue_id).desc(), col(PieceRow.id))
    )
    return list(session.exec(query.limit(most)))


def subjects(session: Session, most: int) -> dict[int, tuple[str, ...]]:
    """The newest pieces that came out, each with the key of its source and its topics."""
    query = (
        select(IssuePieceRow.piece_id, PieceRow.source_key, IssuePieceRow.topics)
        .join(PieceRow, col(PieceRow.id) == col(IssuePieceRow.piece_id))
        .join(
            PublicationRow,
            and_(
                col(PublicationRow.piece_id) == col(IssuePieceRow.piece_id),
                col(PublicationRow.issue_id) == col(IssuePieceRow.issue_id),
            ),
        )
        .order_by(col(IssuePieceRow.issue_id).desc())
        .limit(most)
    )
    return {piece: (source, *topics) for piece, source, topics in session.exec(query)}


def reject(session: Session, number: int, now: dt.datetime) -> None:
    """Throw a draft away. Its pieces are free again, and so is its slot: by itself nothing takes the place of a draft
    that waited for approval. Raises IssueError when it is out already.
    """
    row = row_of(session, number)
    if row.state != DRAFT:
        raise IssueError(f"issue {number} is {row.state}; only a draft can be rejected")
    _give_up(session, row, REJECTED, f"issue {number} was rejected", now)


def _give_up(session: Session, row: IssueRow, state: str, reason: str, now: dt.datetime) -> None:
    if row.slot and session.get(ApprovalRow, row.id):
        leave_empty(session, row.slot, row.kind, reason, now)
    row.state, row.slot = state, None
    session.add(row)
    session.flush()


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


# Slots without an issue, and the owner's approval.


def empty_slot(session: Session, key: str) -> EmptySlotRow | None:
    """Why no issue came of a slot, when that is decided."""
    return session.get(EmptySlotRow, key)


def leave_empty(session: Session, key: str, kind: str, reason: str, now: dt.datetime) -> None:
    """Decide that no issue comes of a slot by itself, and keep why."""
    session.merge(EmptySlotRow(key=key, kind=kind, decided_at=now, reason=reason))
    session.flush()


def ask_approval(session: Session, number: int, approve_by: dt.datetime) -> bool:
    """Record that the owner is asked to approve a draft as it is now. Returns whether they were not asked before."""
    row, asked = row_of(session, number), session.get(ApprovalRow, number)
    if asked is not None and asked.input_hash == row.input_hash:
        return False
    session.merge(ApprovalRow(issue_id=number, input_hash=row.input_hash, approve_by=approve_by))
    session.flush()
    return True


def approve(session: Session, number: int, now: dt.datetime) -> None:
    """Record that the owner wants a draft sent as it is now. Raises IssueError when it is no draft."""
    row, asked = row_of(session, number), session.get(ApprovalRow, number)
    if row.state != DRAFT:
        raise IssueError(f"issue {number} is {row.state}; only a draft can be approved")
    approve_by = asked.approve_by if asked else None
    session.merge(
        ApprovalRow(issue_id=number, input_hash=row.input_hash, approve_by=approve_by, approved_at=now),
    )
    session.flush()


def is_approved(session: Session, number: int) -> bool:
    """Whether the owner approved a draft as it is now: one that was changed since needs it again."""
    row, approval = row_of(session, number), session.get(ApprovalRow, number)
    return approval is not None and approval.approved_at is not None and approval.input_hash == row.input_hash


def waits_for_approval(session: Session, number: int) -> bool:
    """Whether the owner was asked to approve a draft as it is now, and has not."""
    row, asked = row_of(session, number), session.get(ApprovalRow, number)
    return asked is not None and asked.approved_at is None and asked.input_hash == row.input_hash


def cancel_unapproved(session: Session, now: dt.datetime) -> list[int]:
    """Cancel each draft that waited for approval in vain, and return their numbers. Their pieces are free."""
    vain = unapproved(session, now)
    for number in vain:
        _give_up(session, row_of(session, number), CANCELLED, f"issue {number} was not approved in time", now)
    return vain


def unapproved(session: Session, now: dt.datetime) -> list[int]:
    """The numbers of the drafts that were not approved in time."""
    waited = (
        select(IssueRow.id)
        .join(ApprovalRow, col(ApprovalRow.issue_id) == col(IssueRow.id))
        .where(IssueRow.state == DRAFT, col(ApprovalRow.approve_by) <= now)
    )
    return [number for number in session.exec(waited).all() if number and not is_approved(session, number)]


# Round-ups: they are made of what came out.


@dataclass(frozen=True, slots=True)
class Published:
    """A piece that came out, in short: enough to choose by. ``at`` is when its issue did."""

    number: int
    issue: int
    position: int
    at: dt.datetime
    topics: frozenset[str]
    score: float


def add_round_up(session: Session, slot: Slot, title: str, now: dt.datetime) -> int:
    """Store the round-up of a slot, frozen and without any edition yet. Returns its number."""
    row = IssueRow(
        slot=slot.key,
        kind=slot.kind,
        date=slot.day,
        title=title,
        state=FROZEN,
        input_hash="",
        created_at=now,
        frozen_at=now,
        selection=selection_json(Selection((), ())),
    )
    session.add(row)
    session.flush()
    return row.id or 0


def last_decided(session: Session, kind: str) -> dt.datetime | None:
    """When the last slot of a kind of round-up came to anything: to a round-up, or to none and the reason."""
    frozen = session.exec(select(func.max(IssueRow.frozen_at)).where(IssueRow.kind == kind)).one()
    empty = session.exec(select(func.max(EmptySlotRow.decided_at)).where(EmptySlotRow.kind == kind)).one()
    return max(filter(None, (frozen, empty)), default=None)


def published_since(session: Session, since: dt.datetime) -> list[Published]:
    """The pieces of the issues that came out at or after a moment, without those that are withdrawn."""
    withdrawn = select(CorrectionRow.piece_id).where(col(CorrectionRow.kind) == WITHDRAWN)
    rows = session.exec(
        select(IssuePieceRow, IssueRow.frozen_at)
        .join(IssueRow, col(IssueRow.id) == col(IssuePieceRow.issue_id))
        .where(_PUBLIC, col(IssueRow.frozen_at) >= since, col(IssuePieceRow.piece_id).not_in(withdrawn))
    )
    return [
        Published(row.piece_id, row.issue_id, row.position, at, frozenset(row.topics), row.score)
        for row, at in rows
        if at is not None
    ]


def published(session: Session, numbers: Collection[int]) -> dict[int, IssuePiece]:
    """Pieces that came out, by number, each with its home and the summary that stands there."""
    rows = session.exec(
        select(IssuePieceRow, PieceRow, SummaryRow)
        .join(PublicationRow, col(PublicationRow.piece_id) == col(IssuePieceRow.piece_id))
        .join(PieceRow, col(PieceRow.id) == col(IssuePieceRow.piece_id))
        .join(SummaryRow, col(SummaryRow.id) == col(IssuePieceRow.summary_id))
        .where(PublicationRow.issue_id == IssuePieceRow.issue_id, col(IssuePieceRow.piece_id).in_(sorted(numbers)))
    )
    return {entry.piece_id: _entry(entry, piece, summary, at_home=True) for entry, piece, summary in rows}


# The archive's view: what is public, what was said of it since, and the ways to find it.

_FEED_NAMES = uuid.UUID("6c5f0a4e-0f0b-4d0e-9d57-3f6f1c1c2b7a")
"""Ours alone: in it an issue has a name that outlives the address of its page (RFC 9562, 5.5)."""
_NEWEST_FIRST = (col(IssueRow.date).desc(), col(IssueRow.id).desc())
_POSITION = col(IssuePieceRow.position)
_PUBLIC = and_(col(IssueRow.state) == FROZEN, col(IssueRow.kind) == EVERY)
"""What everyone may read. A round-up only repeats what came out before, and differs from reader to reader."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What was said of a piece after its issue came out: a note, or that it is withdrawn, note or none."""

    piece_id: int
    at: dt.datetime
    kind: str
    note: str

    @property
    def is_withdrawal(self) -> bool:
        """Whether the piece is no longer published by us."""
        return self.kind == WITHDRAWN


@dataclass(frozen=True, slots=True)
class PublicIssue:
    """An issue as everyone may read it, with all that was said of it since, oldest first.

    A withdrawn piece keeps its place, and nothing but its title. ``name`` is a URN that never changes.
    """

    issue: Issue
    name: str
    frozen_at: dt.datetime
    corrections: tuple[Correction, ...] = ()

    @property
    def updated(self) -> dt.datetime:
        """When it last changed."""
        return max([self.frozen_at, *(correction.at for correction in self.corrections)])

    @property
    def withdrawn(self) -> frozenset[int]:
        """Numbers of the pieces that are withdrawn."""
        return frozenset(correction.piece_id for correction in self.corrections if correction.is_withdrawal)


@dataclass(frozen=True, slots=True)
class Mention:
    """A public issue as others point to it. ``updated`` is when it last changed."""

    number: int
    title: str
    updated: dt.datetime


@dataclass(frozen=True, slots=True)
class ListedPiece:
    """A piece in a list of the archive. ``position`` is its place in the issue, from 1."""

    position: int
    title: str
    source: str
    words: int

    @property
    def minutes(self) -> int:
        """Minutes of reading of its summary, at least one."""
        return minutes_of(self.words)


@dataclass(frozen=True, slots=True)
class ListedIssue:
    """A public issue in a list of the archive, with those of its pieces that the list is about."""

    number: int
    date: dt.date
    title: str
    pieces: tuple[ListedPiece, ...]

    @property
    def minutes(self) -> int:
        """Minutes of reading of these pieces, at least one."""
        return minutes_of(sum(piece.words for piece in self.pieces))


def correct(session: Session, number: int, piece_id: int, note: str, withdrawn: bool, now: dt.datetime) -> Correction:
    """Say something of a piece of a public issue, or withdraw it. Mails that are out stay as they are.

    Raises IssueError: the issue is not public, the piece not in it or withdrawn already, or the text missing.
    """
    row = row_of(session, number)
    if row.state != FROZEN:
        raise IssueError(f"issue {number} is {row.state} and not public; a draft is changed by `issues drop`")
    if row.kind != EVERY:
        raise IssueError(f"issue {number} is a round-up; correct the piece in the issue that it came out in")
    if session.get(IssuePieceRow, (number, piece_id)) is None:
        raise IssueError(
            f"piece {piece_id} is not in issue {number}; `newsletter issues show {number}` lists its pieces"
        )
    text = " ".join(note.split())
    if not text and not withdrawn:
        raise IssueError("a correction needs a text; say with --note what was wrong")
    if withdrawn and _is_withdrawn(session, number, piece_id):
        raise IssueError(f"piece {piece_id} of issue {number} is withdrawn already; --note alone adds a note")
    kind = WITHDRAWN if withdrawn else NOTE
    session.add(CorrectionRow(issue_id=number, piece_id=piece_id, at=now, kind=kind, note=text))
    session.flush()
    return Correction(piece_id, now, kind, text)


def withdrawn(session: Session) -> set[int]:
    """Numbers of all pieces that are withdrawn, whatever their issue."""
    return set(session.exec(select(CorrectionRow.piece_id).where(CorrectionRow.kind == WITHDRAWN)))


def _is_withdrawn(session: Session, number: int, piece_id: int) -> bool:
    return any(said.is_withdrawal and said.piece_id == piece_id for said in _said(session, number))


def public(session: Session, number: int) -> PublicIssue | None:
    """An issue as everyone may read it; None for a draft, a rejected one, and an unknown number."""
    row = session.get(IssueRow, number)
    if row is None or row.state != FROZEN or row.kind != EVERY or row.frozen_at is None:
        return None
    name = uuid.uuid5(_FEED_NAMES, f"{row.id} {row.input_hash}").urn
    whole = PublicIssue(load(session, number), name, row.frozen_at, tuple(_said(session, number)))
    entries = tuple(
        replace(entry, summary=replace(entry.summary, sections=()), topics=())
        if entry.piece.id in whole.withdrawn
        else entry
        for entry in whole.issue.pieces
    )
    return replace(whole, issue=replace(whole.issue, pieces=entries))


def _said(session: Session, number: int) -> list[Correction]:
    rows = session.exec(select(CorrectionRow).where(CorrectionRow.issue_id == number).order_by(col(CorrectionRow.id)))
    return [Correction(row.piece_id, row.at, row.kind, row.note) for row in rows]


def mentions(session: Session) -> Iterator[Mention]:
    """Every public issue, newest first, as they are asked for."""
    said: sqlalchemy.Select[int, dt.datetime] = sqlalchemy.select(
        col(CorrectionRow.issue_id), func.max(col(CorrectionRow.at)).label("at")
    )
    last = said.group_by(col(CorrectionRow.issue_id)).subquery()
    rows = session.connection().execute(
        sqlalchemy.select(col(IssueRow.id), col(IssueRow.title), col(IssueRow.frozen_at), last.c.at)
        .outerjoin(last, last.c.issue_id == col(IssueRow.id))
        .where(_PUBLIC)
        .order_by(*_NEWEST_FIRST)
    )
    for number, title, frozen_at, corrected_at in rows:
        yield Mention(number or 0, title, max(filter(None, (frozen_at, corrected_at))))


def latest(session: Session) -> Mention | None:
    """The newest public issue."""
    return next(mentions(session), None)


def neighbours(session: Session, number: int) -> tuple[Mention | None, Mention | None]:
    """The public issues before and after a public issue: the older one and the newer one."""
    newer: Mention | None = None
    found = mentions(session)
    for mention in found:
        if mention.number == number:
            return next(found, None), newer
        newer = mention
    return None, None


def archive(
    session: Session, *, before: int | None = None, words: Sequence[str] = (), topic: str = ""
) -> Iterator[ListedIssue]:
    """Public issues, newest first, read as they are asked for. Withdrawn pieces are not listed.

    ``before`` begins after the issue of that number. ``words`` and ``topic`` keep the pieces that hold all
    these words (in title, authors, source, summary or the issue's title, whatever their case) and have that
    topic, and the issues with any.
    """
    found = session.connection().execute(
        _listing(words, topic).where(*_older_than(session, before)).order_by(*_NEWEST_FIRST, _POSITION)
    )
    withdrawn = set(
        session.exec(select(CorrectionRow.issue_id, CorrectionRow.piece_id).where(CorrectionRow.kind == WITHDRAWN))
    )
    folded = [_folded(word) for word in words]
    by_issue = itertools.groupby(found, key=lambda row: (row.id, row.date, row.title))
    for (number, date, title), rows in by_issue:
        listed = tuple(
            ListedPiece(row.position, row.piece_title, row.source_name, summaries.from_json(row.body).words)
            for row in rows
            if (row.id, row.piece_id) not in withdrawn and _holds(row, folded)
        )
        if listed or not (words or topic):
            yield ListedIssue(number, date, title, listed)


def _listing(words: Sequence[str], topic: str) -> sqlalchemy.Select[Any]:
    """What a list needs of each piece of a public issue; not its text, which is far larger."""
    return (
        sqlalchemy.select(
            col(IssueRow.id),
            col(IssueRow.date),
            col(IssueRow.title),
            _POSITION,
            col(IssuePieceRow.piece_id),
            col(PieceRow.title).label("piece_title"),
            col(PieceRow.source_name),
            col(PieceRow.authors),
            col(SummaryRow.body),
        )
        .join(IssuePieceRow, col(IssuePieceRow.issue_id) == col(IssueRow.id))
        .join(PieceRow, col(PieceRow.id) == col(IssuePieceRow.piece_id))
        .join(SummaryRow, col(SummaryRow.id) == col(IssuePieceRow.summary_id))
        .where(_PUBLIC, *map(_may_hold, words))
        .where(*([_has_topic(topic)] if topic else []))
    )


def _has_topic(key: str) -> ColumnElement[bool]:
    # A key is lower-case ASCII without quotes: its JSON text occurs where the key does and nowhere else.
    return cast(col(IssuePieceRow.topics), Text).contains(f'"{key}"', autoescape=True)


def _may_hold(word: str) -> ColumnElement[bool]:
    """What the database can tell of a piece and a word: no when its longest run of ASCII is nowhere.

    Summaries are JSON in the database, with escapes and the quotes behind each sentence: `_holds` looks
    closely.
    """
    run = max(re.findall(r"[a-zA-Z0-9]+", word), key=len, default="")
    columns = (
        col(IssueRow.title),
        col(PieceRow.title),
        col(PieceRow.source_name),
        cast(col(PieceRow.authors), Text),
        cast(col(SummaryRow.body), Text),
    )
    return or_(*(column.icontains(run, autoescape=True) for column in columns))


def _holds(row: Any, folded: Sequence[str]) -> bool:
    """Whether all these words occur in what readers see of a piece."""
    if not folded:
        return True
    sections = summaries.from_json(row.body).sections
    texts = [text for section in sections for text in (section.heading, *section.texts)]
    seen = _folded(" ".join([row.title, row.piece_title, row.source_name, *row.authors, *texts]))
    return all(word in seen for word in folded)


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _older_than(session: Session, number: int | None) -> list[ColumnElement[bool]]:
    row = session.get(IssueRow, number) if number else None
    if row is None:
        return []
    date, key = col(IssueRow.date), col(IssueRow.id)
    return [or_(date < row.date, and_(date == row.date, key < number))]


def topic_counts(session: Session, now: dt.datetime) -> Counter[str]:
    """How many pieces of each topic came out lately, withdrawn ones left out, by the topic's key."""
    gone = sqlalchemy.select(CorrectionRow).where(
        col(CorrectionRow.issue_id) == col(IssuePieceRow.issue_id),
        col(CorrectionRow.piece_id) == col(IssuePieceRow.piece_id),
        col(CorrectionRow.kind) == WITHDRAWN,
    )
    found = session.exec(
        select(IssuePieceRow.topics)
        .join(IssueRow, col(IssueRow.id) == col(IssuePieceRow.issue_id))
        .where(_PUBLIC, col(IssueRow.frozen_at) >= now - LATELY, ~gone.exists())
    )
    return Counter(topic for topics in found for topic in topics)


def public_piece(session: Session, issue: int, number: int) -> IssuePiece | None:
    """The piece of that number, from 1, in a public issue; None when there is none, or it is withdrawn."""
    found = public(session, issue)
    if found is None or not 1 <= number <= len(found.issue.pieces):
        return None
    entry = found.issue.pieces[number - 1]
    return None if entry.piece.id in found.withdrawn else entry
