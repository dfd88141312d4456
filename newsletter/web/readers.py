"""Readers' pages in this newsletter: hands the parts of the press to :mod:`subscribers.pages`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from newsletter import issues
from newsletter.pipeline import Press
from subscribers.pages import Desk, IssueView, TopicView

LATELY = dt.timedelta(days=30)


def desk(press: Press) -> Desk:
    """What readers' pages work with."""

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
    )


class Shelf:
    """What the newsletter publishes, as readers' pages show it."""

    def __init__(self, press: Press) -> None:
        self._press = press

    def topics(self) -> Sequence[TopicView]:
        """The topics of the configuration, with how many pieces of each came out in the last 30 days."""
        with self._press.store.read() as session:
            counts = issues.topic_counts(session, self._press.clocks.now() - LATELY)
        topics = self._press.config.topic_values()
        return [TopicView(topic.key, topic.name, topic.description, counts[topic.key]) for topic in topics]

    def latest_issue(self) -> IssueView | None:
        """The newest issue that is out."""
        with self._press.store.read() as session:
            found = issues.latest(session)
        if found is None:
            return None
        base = self._press.config.web.base_url.rstrip("/")
        return IssueView(found.number, found.title, f"{base}/issues/{found.number}")

    def piece_title(self, piece_id: int) -> str | None:
        """The title of a piece that came out."""
        with self._press.store.read() as session:
            return issues.piece_title(session, piece_id)
