"""What is kept of people: the tables, and how moments and short vocabularies stand in them.

Every type is spelled out so that the same statements serve SQLite and PostgreSQL. There is no table of chosen
topics: ``Subscriber.follows`` is the one truth (see :mod:`subscribers.preferences`), because a freeze groups
a million readers by it in one statement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

ADDRESS_LENGTH = 320
"""Room for 64 characters, the ``@``, and a domain name (RFC 5321, 4.5.3.1)."""

NAME_LENGTH = 200
"""Longest name of a person, in characters."""

REASON_LENGTH = 64
"""Longest ``state_reason`` and ``how``, in characters."""

HASH_LENGTH = 32
"""An identity's hash: 128 bits in hexadecimal."""


class State(StrEnum):
    """Where a subscriber stands. ``PAUSED`` is never stored: it is ``ACTIVE`` until ``paused_until``."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"
    UNSUBSCRIBED = "unsubscribed"


class Frequency(StrEnum):
    """How often a reader wants mail."""

    EVERY = "every"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Format(StrEnum):
    """What a reader's mail is made of: HTML and text, or text alone."""

    HTML = "html"
    TEXT = "text"


class Kind(StrEnum):
    """Why an address is not mailed."""

    UNSUBSCRIBED = "unsubscribed"
    ERASED = "erased"
    COMPLAINT = "complaint"
    HARD_BOUNCE = "hard_bounce"
    OWNER = "owner"


class LetterState(StrEnum):
    """What became of a letter. ``HANDING``: one process is handing it over now."""

    PLANNED = "planned"
    HANDING = "handing"
    ACCEPTED = "accepted"
    FAILED = "failed"


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment: aware in Python, naive UTC in the database, so that SQL compares it alike everywhere.

    SQLite gets text of fixed width, PostgreSQL ``timestamp without time zone``. A naive datetime raises
    ValueError (SQLAlchemy wraps it in StatementError), since nobody can know which moment it means.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """The moment as it is stored."""
        return None if value is None else _naive(value)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """The moment as Python sees it: aware, in UTC."""
        return None if value is None else value.replace(tzinfo=dt.UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """How one is written. SQLite's text is made here: SQLAlchemy takes far longer for the same."""
        return _to_text if dialect.name == "sqlite" else super().bind_processor(dialect)


def _naive(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        raise ValueError("a datetime without time zone names no moment")
    return (value if value.tzinfo is dt.UTC else value.astimezone(dt.UTC)).replace(tzinfo=None)


def _to_text(value: dt.datetime | None) -> str | None:
    return None if value is None else _naive(value).isoformat(" ", "microseconds")


def _one_of(column: str, values: list[str], table: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"ck_{table}_{column}")


class Subscriber(SQLModel, table=True):
    """A person who asked for mail.

    ``address`` is what mail is sent to: local part as given, domain in ASCII. ``identity`` tells the same
    address again and is unique; ``identity_hash`` is its keyed hash, which suppressions are found by.
    ``confirmed_at`` is when the person became active for the first time, ``left_at`` when they last left.
    ``follows`` is ``*`` or topic keys; an empty ``time_zone`` is the newsletter's.

    Ids are never used twice (``sqlite_autoincrement``): links in old mail name a reader by id.
    """

    __table_args__: Any = (
        UniqueConstraint("identity", name="uq_subscriber_identity"),
        _one_of("state", [State.PENDING, State.ACTIVE, State.UNSUBSCRIBED], "subscriber"),
        _one_of("frequency", list(Frequency), "subscriber"),
        _one_of("format", list(Format), "subscriber"),
        Index("ix_subscriber_state_id", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    # Typed as it is once stored; a row that is not has no id yet.
    id: int = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    identity: str = Field(sa_column=Column(String(ADDRESS_LENGTH), nullable=False))
    identity_hash: str = Field(sa_column=Column(String(HASH_LENGTH), nullable=False))
    address: str = Field(sa_column=Column(String(ADDRESS_LENGTH), nullable=False))
    name: str = Field(default="", sa_column=Column(String(NAME_LENGTH), nullable=False))
    state: str = Field(sa_column=Column(String(16), nullable=False))
    state_reason: str = Field(default="", sa_column=Column(String(REASON_LENGTH), nullable=False))
    created_at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    confirmed_at: dt.datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    left_at: dt.datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    follows: str = Field(default="*", sa_column=Column(Text, nullable=False))
    frequency: str = Field(default=Frequency.EVERY.value, sa_column=Column(String(16), nullable=False))
    format: str = Field(default=Format.HTML.value, sa_column=Column(String(8), nullable=False))
    paused_until: dt.datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    time_zone: str = Field(default="", sa_column=Column(String(64), nullable=False))


class Consent(SQLModel, table=True):
    """The proof that a person asked: when, to which words, with which address, how, and from where.

    ``network`` is the visitor's network address; it goes 30 days after the person left.
    """

    __table_args__: Any = (Index("ix_consent_subscriber_id", "subscriber_id"),)

    id: int = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    subscriber_id: int = Field(
        sa_column=Column(
            Integer,
            ForeignKey("subscriber.id", name="fk_consent_subscriber_id", ondelete="CASCADE"),
            nullable=False,
        )
    )
    at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    address: str = Field(sa_column=Column(String(ADDRESS_LENGTH), nullable=False))
    how: str = Field(sa_column=Column(String(REASON_LENGTH), nullable=False))
    network: str | None = Field(default=None, sa_column=Column(String(45), nullable=True))


class Suppression(SQLModel, table=True):
    """Why an address is not mailed; outlives its subscriber, so it holds the keyed hash and no address."""

    __table_args__: Any = (_one_of("kind", list(Kind), "suppression"),)

    identity_hash: str = Field(sa_column=Column(String(HASH_LENGTH), primary_key=True))
    kind: str = Field(sa_column=Column(String(16), primary_key=True))
    at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    note: str = Field(default="", sa_column=Column(Text, nullable=False))


class Pepper(SQLModel, table=True):
    """The one key that identities are hashed with, in the database's only row of it.

    It is made once and never changed, and it travels with every backup. In the environment it could be
    rotated or lost, and then everyone who ever left would silently be a stranger again.
    """

    __table_args__: Any = (CheckConstraint("id = 1", name="ck_pepper_single"),)

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    value: str = Field(sa_column=Column(String(64), nullable=False))


class WaitingLetter(SQLModel, table=True):
    """A letter that someone's own act asked for, from the request that posted it until it is settled.

    ``details`` fill its text and hold links that are good for something: they go as soon as it is settled.
    ``identity_hash`` is the address's, so that a suppression holds for letters that wait, too.

    Ids are never used twice (``sqlite_autoincrement``): a Message-ID is made from each, and a mailbox may drop
    what comes under one that it knows.
    """

    __tablename__ = "letter"
    __table_args__: Any = (
        _one_of("state", list(LetterState), "letter"),
        Index("ix_letter_state_try_at", "state", "try_at"),
        Index("ix_letter_identity_hash", "identity_hash"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    kind: str = Field(sa_column=Column(String(32), nullable=False))
    address: str = Field(sa_column=Column(String(ADDRESS_LENGTH), nullable=False))
    identity_hash: str = Field(sa_column=Column(String(HASH_LENGTH), nullable=False))
    details: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    state: str = Field(default=LetterState.PLANNED.value, sa_column=Column(String(16), nullable=False))
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    posted_at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    try_at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    claimed_by: str = Field(default="", sa_column=Column(String(128), nullable=False))
    claimed_at: dt.datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))


class Salt(SQLModel, table=True):
    """What a day's limits are hashed with. Once a day's salt is gone, nobody can tell whom its rows were about."""

    day: dt.date = Field(sa_column=Column(Date, primary_key=True))
    value: str = Field(sa_column=Column(String(64), nullable=False))


class Attempt(SQLModel, table=True):
    """That something limited was done, for someone or from somewhere: ``subject`` is a salted hash of whom."""

    __table_args__: Any = (Index("ix_attempt_subject_at", "subject", "at"), Index("ix_attempt_at", "at"))

    id: int = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    subject: str = Field(sa_column=Column(String(HASH_LENGTH), nullable=False))
    at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class AddressChange(SQLModel, table=True):
    """That a person wants their mail at another address, until they confirm it there. One wish a person."""

    __tablename__ = "address_change"
    __table_args__: Any = (
        UniqueConstraint("subscriber_id", name="uq_address_change_subscriber_id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    subscriber_id: int = Field(
        sa_column=Column(
            Integer,
            ForeignKey("subscriber.id", name="fk_address_change_subscriber_id", ondelete="CASCADE"),
            nullable=False,
        )
    )
    address: str = Field(sa_column=Column(String(ADDRESS_LENGTH), nullable=False))
    at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Feedback(SQLModel, table=True):
    """Whether a piece was worth a reader's time; one word a reader and piece, the last one counts."""

    __table_args__: Any = (Index("ix_feedback_piece_id", "piece_id"),)

    subscriber_id: int = Field(
        sa_column=Column(
            Integer,
            ForeignKey("subscriber.id", name="fk_feedback_subscriber_id", ondelete="CASCADE"),
            primary_key=True,
        )
    )
    piece_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    is_worth: bool = Field(sa_column=Column(Boolean, nullable=False))
    at: dt.datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
