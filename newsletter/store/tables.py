"""The tables of `newsletter`; those of `subscribers` stand in that package, in the same metadata.

What a table holds is decided here, who may change it in the module of its name: `pieces.py` writes `piece`,
`issues.py` writes `issue`, `deliveries.py` writes `delivery`, `events` writes `event`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from subscribers import UtcDateTime


class SourceStateRow(SQLModel, table=True):
    """What we remember of a source between two readings."""

    __tablename__ = "source_state"

    key: str = Field(primary_key=True)
    etag: str = ""
    last_modified: str = ""
    body_hash: str = ""
    asked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    read_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    retry_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    is_gone: bool = False
    failures: int = 0
    last_error: str = Field(default="", sa_type=Text)


class PieceRow(SQLModel, table=True):
    """A piece, once, whatever its addresses."""

    __tablename__ = "piece"

    id: int | None = Field(default=None, primary_key=True)
    identity: str = Field(unique=True)
    source_key: str
    source_name: str
    title: str = Field(sa_type=Text)
    url: str = Field(sa_type=Text)
    guid: str = Field(default="", sa_type=Text)
    authors: list[str] = Field(default_factory=list, sa_type=JSON)
    categories: list[str] = Field(default_factory=list, sa_type=JSON)
    published: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    first_seen: dt.datetime = Field(sa_type=UtcDateTime, index=True)
    text: str = Field(default="", sa_type=Text)
    origin: str
    note: str = Field(default="", sa_type=Text)
    page_tries: int = 0
    sketch: list[int] = Field(default_factory=list, sa_type=JSON)


class PieceLinkRow(SQLModel, table=True):
    """One way in which a source named a piece. Near-duplicates of a piece are further links to it."""

    __tablename__ = "piece_link"

    identity: str = Field(primary_key=True)
    piece_id: int = Field(foreign_key="piece.id", index=True)
    url: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    source_key: str
    source_name: str
    seen_at: dt.datetime = Field(sa_type=UtcDateTime)


class SummaryRow(SQLModel, table=True):
    """A checked summary, kept so that the same piece is not written twice."""

    __tablename__ = "summary"
    __table_args__ = (UniqueConstraint("piece_id", "fingerprint", "source_hash"),)

    id: int | None = Field(default=None, primary_key=True)
    piece_id: int = Field(foreign_key="piece.id")
    fingerprint: str
    source_hash: str
    kind: str
    writer: str
    model: str = ""
    cost_usd: float = 0.0
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    body: dict[str, Any] = Field(sa_type=JSON)


class AnswerRow(SQLModel, table=True):
    """An answer of the model by the hash of the whole request, stored before any check."""

    __tablename__ = "answer"

    request_hash: str = Field(primary_key=True)
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    body: dict[str, Any] = Field(sa_type=JSON)


class CallRow(SQLModel, table=True):
    """A question that the model was asked. ``issue_id`` is empty until a draft is made of what it was for.

    ``outcome`` is empty for an answer, else the kind of the failure. ``cost_usd`` is empty when no price is known.
    """

    __tablename__ = "call"

    id: int | None = Field(default=None, primary_key=True)
    issue_id: int | None = Field(default=None, foreign_key="issue.id", index=True)
    piece_id: int | None = Field(default=None, foreign_key="piece.id")
    at: dt.datetime = Field(sa_type=UtcDateTime)
    purpose: str
    model: str
    outcome: str = ""
    cached: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0


class IssueRow(SQLModel, table=True):
    """An issue: a draft until its audience is frozen.

    ``slot`` is the key of the slot for which it was made (the date, for one that the owner makes by hand); a slot has
    one issue. A draft that is rejected gives its slot up. ``input_hash`` names all that the draft was made from.

    ``kind`` is `every`, or the frequency of a round-up's readers. A round-up is frozen from the start and has no
    pieces of its own: its editions hold pieces of other issues.
    """

    __tablename__ = "issue"

    id: int | None = Field(default=None, primary_key=True)
    slot: str | None = Field(default=None, unique=True)
    kind: str = "every"
    date: dt.date
    title: str
    state: str = Field(index=True)
    input_hash: str
    created_at: dt.datetime = Field(sa_type=UtcDateTime)
    frozen_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    selection: dict[str, Any] = Field(sa_type=JSON)


class IssuePieceRow(SQLModel, table=True):
    """A piece of an issue, with the summary that stands in it."""

    __tablename__ = "issue_piece"
    __table_args__ = (UniqueConstraint("issue_id", "position"),)

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    piece_id: int = Field(foreign_key="piece.id", primary_key=True, index=True)
    position: int
    summary_id: int = Field(foreign_key="summary.id")
    score: float = 0.0
    why: str = Field(default="", sa_type=Text)
    topics: list[str] = Field(default_factory=list, sa_type=JSON)


class PublicationRow(SQLModel, table=True):
    """That a piece is out. The primary key is the law: a piece is first published in at most one issue, ever."""

    __tablename__ = "publication"

    piece_id: int = Field(foreign_key="piece.id", primary_key=True)
    issue_id: int = Field(foreign_key="issue.id", index=True)


class RulingRow(SQLModel, table=True):
    """The owner's word on a piece of a draft: `drop` or `pin`."""

    __tablename__ = "ruling"

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    piece_id: int = Field(foreign_key="piece.id", primary_key=True)
    verdict: str


class CorrectionRow(SQLModel, table=True):
    """Said of a piece after its issue came out: a `note`, or that it is `withdrawn`. Rows only come."""

    __tablename__ = "correction"

    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id", index=True)
    piece_id: int = Field(foreign_key="piece.id")
    at: dt.datetime = Field(sa_type=UtcDateTime)
    kind: str
    note: str = Field(default="", sa_type=Text)


class EmptySlotRow(SQLModel, table=True):
    """A slot that no issue came of, and why: it is not tried again by itself."""

    __tablename__ = "empty_slot"

    key: str = Field(primary_key=True)
    kind: str
    decided_at: dt.datetime = Field(sa_type=UtcDateTime)
    reason: str = Field(sa_type=Text)


class ApprovalRow(SQLModel, table=True):
    """That the owner was asked to approve a draft, or approved it: just the draft with this input hash.

    ``approve_by`` is when an unapproved draft is cancelled; it is empty for an approval that nobody asked for.
    """

    __tablename__ = "approval"

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    input_hash: str
    approve_by: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    approved_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class EditionRow(SQLModel, table=True):
    """One edition of a frozen issue: which pieces, in which order.

    Pieces of an earlier issue may be among them: a round-up has no others, and who changes to every issue catches up.
    """

    __tablename__ = "edition"
    __table_args__ = (UniqueConstraint("issue_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    key: str
    piece_ids: list[int] = Field(sa_type=JSON)


class AudienceGroupRow(SQLModel, table=True):
    """Readers of a frozen issue grouped by what they follow, and the edition that such a group gets.

    ``follows`` is the subscriber column of that name; where earlier issues matter, a blank and a word on them come
    after it (`newsletter.roundups`). Without an edition the group is skipped, for ``reason``.
    """

    __tablename__ = "audience_group"

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    follows: str = Field(primary_key=True)
    edition_id: int | None = Field(default=None, foreign_key="edition.id")
    reason: str = ""


class AudienceHourRow(SQLModel, table=True):
    """When readers of a time zone are due for a frozen issue. ``time_zone`` is the subscriber column of that name."""

    __tablename__ = "audience_hour"

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    time_zone: str = Field(primary_key=True)
    due_at: dt.datetime = Field(sa_type=UtcDateTime)


class SendingRow(SQLModel, table=True):
    """How the sending of a frozen issue stands: ``going``, ``paused`` or ``cancelled``.

    ``held_until`` is when the provider may be asked again, ``held`` how often in a row it had no time for anybody.
    ``trouble`` is what last stood in the way; it goes when a message is accepted. ``audience`` is how many deliveries
    the freeze wrote: none comes or goes after it.
    """

    __tablename__ = "sending"

    issue_id: int = Field(foreign_key="issue.id", primary_key=True)
    state: str = "going"
    audience: int = 0
    held_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    held: int = 0
    trouble: str = Field(default="", sa_type=Text)
    trouble_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class LedgerRow(SQLModel, table=True):
    """The ledger as a whole, in its only row: a name that no other has, and the number of its last hand-over.

    The witness beside the database holds the same two: see :mod:`newsletter.witness`.
    """

    __tablename__ = "ledger"

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str
    handed: int = 0


class DeliveryRow(SQLModel, table=True):
    """The durable record of (issue, subscriber). States and their changes: DESIGN, "Delivery".

    There is no foreign key to the subscriber: the record outlives the person's row, and says nothing about them then.
    ``due_at`` is when the reader should get it; ``try_at`` is when it may be tried (again), and never earlier.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("issue_id", "subscriber_id"),
        Index("ix_delivery_due", "issue_id", "state", "try_at", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    subscriber_id: int = Field(index=True)
    edition_id: int | None = Field(default=None, foreign_key="edition.id")
    state: str
    reason: str = ""
    due_at: dt.datetime = Field(sa_type=UtcDateTime)
    # Always set. (Only the schema allows none: SQLite cannot change that without copying the whole table.)
    try_at: dt.datetime = Field(sa_type=UtcDateTime, nullable=True)
    attempts: int = 0
    claimed_by: str = ""
    claimed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    provider: str = ""
    provider_ref: str = ""
    changed_at: dt.datetime = Field(sa_type=UtcDateTime)


class EventRow(SQLModel, table=True):
    """What was reported about a delivery later, once: ``ref`` names the report, so that a repetition adds nothing.

    ``key`` is the delivery's as the report has it; ``delivery_id`` is empty when there is no such delivery. ``why``
    holds no address.
    """

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_kind", "kind", "delivery_id"),)

    id: int | None = Field(default=None, primary_key=True)
    ref: str = Field(unique=True)
    key: str
    delivery_id: int | None = Field(default=None, foreign_key="delivery.id", index=True)
    kind: str
    at: dt.datetime = Field(sa_type=UtcDateTime)
    heard_at: dt.datetime = Field(sa_type=UtcDateTime)
    why: str = Field(default="", sa_type=Text)
