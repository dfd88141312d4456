"""Many hostile publishers at a time, and three good ones among them: who is late is late alone."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from newsletter.config import FetchingConfig
from newsletter.fetching import Door
from newsletter.intake import FAILED, READ, Intake, SourceReport
from newsletter.sandbox import Sandbox
from newsletter.store import Store
from newsletter.values import Source, TextOrigin
from tests.hostile import catalogue
from tests.hostile.catalogue.pages import PAGE
from tests.hostile.publisher import (
    FEED,
    SOURCE,
    TRUSTING_NOBODY,
    Behaviour,
    World,
    forever,
    is_one_plain_line,
    item,
    path_of,
    rss,
    served,
    stored_in,
)
from tests.newsletter.feeds import article
from tests.newsletter.loopback import Answer, Server, reply
from tests.newsletter.makers import DAY

ADDRESS = "198.41.0.4"
GOOD = ("the first", "the second", "the third")
TITLES = [f"What {which} good publisher found" for which in GOOD]
CPU_SECONDS, WALL_SECONDS = 2, 4.0
Sites = Mapping[str, Mapping[str, Answer]]
"""What is served, by host and path."""


class Crowd:
    """All publishers behind one server, told apart by the name that they are asked by."""

    def __init__(self, sites: Sites, store: Store) -> None:
        self._sites = sites
        self._store = store
        self.asked: dict[tuple[str, str], float] = {}
        self.world = World({host: [[ADDRESS]] for host in sites}, 0)

    def fetch(self, patience: float) -> tuple[list[SourceReport], float]:
        """The report of each publisher, and how many seconds it all took. ``asked`` is counted from the beginning."""
        sources = [Source(f"http://{host}{FEED}", host, f"http://{host}{FEED}") for host in self._sites]
        with (
            Server(self._answer) as server,
            Sandbox(2, cpu_seconds=CPU_SECONDS, wall_seconds=WALL_SECONDS) as sandbox,
        ):
            self.world.port = server.port
            door = Door(
                timeout_seconds=patience, resolve=self.world.resolve, connect=self.world.connect, tls=TRUSTING_NOBODY
            )
            intake = Intake(self._store, door, sandbox, FetchingConfig(), max_age_days=30)
            self.began = time.monotonic()
            reports = intake.fetch(sources, DAY)
            return reports, time.monotonic() - self.began

    def _answer(self, connection: socket.socket, head: bytes) -> None:
        host = re.search(rb"\r\nHost: ([^\r:]+)", head)
        place = (host[1].decode() if host else "", path_of(head))
        self.asked.setdefault(place, time.monotonic() - self.began)
        answer = self._sites.get(place[0], {}).get(place[1], reply(b"", "404 Not Found"))
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection, head)


def _good_sites() -> dict[str, dict[str, Answer]]:
    """Three publishers, each with a teaser whose page has the text."""
    sites: dict[str, dict[str, Answer]] = {}
    for number, title in enumerate(TITLES):
        host = f"good{number}.example.com"
        teaser = item(title, number, text="The beginning of it ...", link=f"http://{host}/page")
        text = "".join(f"<p>{paragraph}</p>" for paragraph in article(400, 50 + number).split("\n\n"))
        sites[host] = {FEED: served(rss(teaser)), "/page": served(PAGE.format(title, text), "text/html")}
    return sites


def _named(prefix: str, answers: Sequence[Mapping[str, Answer]]) -> dict[str, Mapping[str, Answer]]:
    return {f"{prefix}{number}.example.com": by_path for number, by_path in enumerate(answers)}


def _in_each(check: Callable[[SourceReport], bool], reports: Sequence[SourceReport]) -> bool:
    return all(check(report) for report in reports)


@pytest.mark.slow
def test_good_sources_do_not_wait_for_the_bad_ones_that_are_read_beside_them(store: Store) -> None:
    patience = 6.0
    dripping = {FEED: forever(b" ", b"HTTP/1.1 200 OK\r\n\r\n", 0.05)}
    spinning = {FEED: served("<rss>" + "<a>" * 300_000)}
    crowd = Crowd({**_named("bad", [dripping, dripping, spinning, dripping]), **_good_sites()}, store)
    reports, seconds = crowd.fetch(patience)
    assert [report.status for report in reports] == [FAILED] * 4 + [READ] * 3
    # Its page is asked for when its feed has been parsed.
    assert max(crowd.asked[f"good{number}.example.com", "/page"] for number in range(3)) < patience
    assert seconds < 2 * patience + WALL_SECONDS
    assert [piece.origin for piece in stored_in(store)] == [TextOrigin.PAGE] * 3


@pytest.mark.slow
def test_a_crowd_of_bad_sources_costs_no_good_one_and_no_more_than_their_limits(store: Store) -> None:
    patience = 1.0
    bad = [behaviour for behaviour in catalogue.BEHAVIOURS if _fails_alone(behaviour)]
    sites = _named("bad", [behaviour.answers for behaviour in bad])  # type: ignore[misc]  # one answer each
    names, good = list(sites), _good_sites()
    first, second, third = good
    half = len(names) // 2
    # One good publisher at the beginning, one in the middle, one at the end.
    order = [first, *names[:half], second, *names[half:], third]
    crowd = Crowd({host: {**good, **sites}[host] for host in order}, store)
    reports, seconds = crowd.fetch(patience)
    assert len(bad) > 100
    by_name = {report.source.name: report for report in reports}
    assert _in_each(lambda report: report.status == READ and len(report.new) == 1, [by_name[host] for host in good])
    assert _in_each(lambda report: report.status == FAILED, [by_name[host] for host in names])
    assert _in_each(
        lambda report: is_one_plain_line(report.problem) and report.problem != "", [by_name[host] for host in names]
    )
    assert {address for address, _ in crowd.world.dialled} == {ADDRESS}
    assert [piece.title for piece in stored_in(store)] == TITLES
    # Eight are read at a time: if all of them took the whole time they have, it would be this.
    assert seconds < (len(bad) / 8 + 1) * (patience + WALL_SECONDS / 2)


def _fails_alone(behaviour: Behaviour) -> bool:
    """Whether a behaviour is a single failing answer, at any name."""
    is_single = set(behaviour.answers) == {FEED} and not isinstance(behaviour.answers[FEED], list)
    return is_single and behaviour.status == FAILED and behaviour.source == SOURCE and not behaviour.names
