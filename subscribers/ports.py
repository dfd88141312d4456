"""What this package needs from outside, as protocols. Whoever mounts it hands these in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.orm import Session

from subscribers.tokens import Purpose, Value


class Sessions(Protocol):
    """Opens a session of the database, to read or to write.

    One to write commits at the end of its block, or not at all when the block raises; what one to read holds
    is thrown away.
    """

    def __call__(self) -> AbstractContextManager[Session]:
        """A new session."""
        ...


class Links(Protocol):
    """Makes and reads the tokens of links, each good for one purpose (see :class:`subscribers.Tokens`)."""

    def sign(self, purpose: Purpose, *values: Value, now: dt.datetime | None = None) -> str:
        """The token, safe in a URL; ``now`` where the purpose expires."""
        ...

    def read(self, purpose: Purpose, token: str, *, now: dt.datetime | None = None) -> tuple[Value, ...]:
        """The values of a token; ``now`` where the purpose expires. Raises TokenError."""
        ...


class Render(Protocol):
    """Fills a page of the templates."""

    def __call__(self, page: str, **values: object) -> str:
        """The HTML of the page of that name, with every value escaped."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail that someone's own act asks for: ``kind`` names its template, ``values`` fill it."""

    kind: str
    address: str
    values: dict[str, str] = field(default_factory=dict)


class Post(Protocol):
    """Carries the letters that wait (:mod:`subscribers.letters`), after the request that posted them."""

    def __call__(self) -> None:
        """Letters wait: hand them over soon. Called once their transaction is committed; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class TopicView:
    """A topic as pages show it; ``pieces`` counts those of the last 30 days."""

    key: str
    name: str
    description: str
    pieces: int


@dataclass(frozen=True, slots=True)
class IssueView:
    """An issue as pages point to it."""

    number: int
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class PieceView:
    """A published piece as pages point to it."""

    id: int
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class MailView:
    """A mail to one reader, as their copy of their data names it: ``state`` is what became of it."""

    issue: int
    title: str
    state: str
    at: dt.datetime


class Catalogue(Protocol):
    """What the newsletter publishes, as far as subscribers' pages show it."""

    def topics(self) -> Sequence[TopicView]:
        """The topics that exist now, in the owner's order."""
        ...

    def latest_issue(self) -> IssueView | None:
        """The newest public issue."""
        ...

    def piece(self, issue: int, number: int) -> PieceView | None:
        """The piece of that number, from 1, in an issue that is out; None when there is none, or it is withdrawn."""
        ...

    def mails(self, subscriber_id: int) -> Sequence[MailView]:
        """Every mail of an issue that was planned for a reader, oldest first."""
        ...
