"""Readers' pages in this newsletter: hands the parts of the press to :mod:`subscribers.pages`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from newsletter import deliveries, issues
from newsletter.pipeline import Press
from subscribers.pages import Desk, IssueView, MailView, PieceView, TopicView


def desk(press: Press, post: Callable[[], None]) -> Desk:
    """What readers' pages work with. ``post`` is called when letters wait."""

    def render(page: str, **values: object) -> str:
        return press.renderer.page(page, **values)

    return Desk(
        read=press.store.read,
        write=press.store.write,
        render=render,
        links=press.tokens,
        catalogue=Shelf(press),
        now=press.clocks.now,
        zone=ZoneInfo(press.config.newsletter.time_zone),
        frequencies=press.frequencies,
        base_url=press.config.web.base_url,
        post=post,
        proxies=tuple(map(ipaddress.ip_network, press.config.web.trusted_proxies)),
    )


class Shelf:
    """What the newsletter publishes, as readers' pages show it."""

    def __init__(self, press: Press) -> None:
        self._press = press

    def topics(self) -> Sequence[TopicView]:
        """The topics of the configuration, with how many pieces of each came out in the last 30 days."""
        with self._press.store.read() as session:
            counts = issues.topic_counts(session, self._press.clocks.now())
        topics = self._press.config.topic_values()
        return [TopicView(topic.key, topic.name, topic.description, counts[topic.key]) for topic in topics]

    def latest_issue(self) -> IssueView | None:
        """The newest issue that is out."""
        with self._press.store.read() as session:
            found = issues.latest(session)
        if found is None:
            return None
        return IssueView(found.number, found.title, f"{self._base}/issues/{found.number}")

    def piece(self, issue: int, number: int) -> PieceView | None:
        """A piece of an issue that is out, unless it was withdrawn."""
        with self._press.store.read() as session:
            found = issues.public_piece(session, issue, number)
        if found is None:
            return None
        return PieceView(found.piece.id, found.piece.title, f"{self._base}/issues/{issue}#piece-{number}")

    def mails(self, subscriber_id: int) -> Sequence[MailView]:
        """What the ledger has for a reader."""
        with self._press.store.read() as session:
            return [
                MailView(number, title, state, at)
                for number, title, state, at in deliveries.history(session, subscriber_id)
            ]

    @property
    def _base(self) -> str:
        return self._press.config.web.base_url
