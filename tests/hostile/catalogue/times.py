"""Dates from nowhere, ids that change, pieces that are edited, back-dated and shuffled: nothing comes out twice."""

from __future__ import annotations

from collections.abc import Callable

from tests.hostile.publisher import (
    FEED,
    GOOD,
    PAGE_HOST,
    SECOND,
    Behaviour,
    Outcome,
    good,
    item,
    rss,
    served,
)

_FETCHES = 3


def _dated(name: str, date: str | None, *years: int | None) -> Behaviour:
    """A feed whose second item has this date; it is taken for one of these years (none: for none, or any)."""

    def has_year(outcome: Outcome) -> None:
        published = outcome.stored[1].published
        assert not years or (published.year if published else None) in years

    feed = rss(good(0), item(SECOND, 2, date=date), good(2))
    return Behaviour(f"dates a piece {name}", {FEED: served(feed)}, GOOD, check=has_year)


def _again(name: str, made: Callable[[int], str], stored: tuple[str, ...] = GOOD) -> Behaviour:
    """A feed that is another at every fetch, with the same pieces in it."""
    return Behaviour(
        name,
        {FEED: [served(made(number)) for number in range(_FETCHES)]},
        stored,
        fetches=_FETCHES,
        check=lambda outcome: _came_out_once(stored, outcome),
    )


def _came_out_once(titles: tuple[str, ...], outcome: Outcome) -> None:
    assert sorted(piece.title for issue in outcome.published for piece in issue) == sorted(titles)


def _all(**changes: Callable[[int], str]) -> str:
    return rss(*(good(place, **{key: made(place) for key, made in changes.items()}) for place in range(3)))


_LONG_AGO = "".join(
    item(f"The report of station {n}", 1_000 + n, date="Mon, 01 Jan 2018 00:00:00 GMT", text="A short report.")
    for n in range(400)
)


def _flood(number: int) -> list[str]:
    """As many new pieces as are read of a feed, of a day of their own."""
    return [item(f"Observation {n} of day {number}", 1_000 * number + n) for n in range(500)]


def _nobody_asked_for_pages(outcome: Outcome) -> None:
    assert set(outcome.asked) == {FEED}


BEHAVIOURS = (
    _dated("in 1970", "Thu, 01 Jan 1970 00:00:00 GMT", 1970),
    _dated("before 1970", "Sat, 01 Jan 1944 00:00:00 GMT", 1944),
    _dated("in 2099", "Thu, 01 Jan 2099 00:00:00 GMT", 2099),
    _dated("in the year 9999", "9999-12-31T23:59:59Z", 9999),
    _dated("in the year 10000", "10000-01-01T00:00:00Z"),
    _dated("in the year 0", "0000-01-01T00:00:00Z", None),
    _dated("on the 31st of February", "Tue, 31 Feb 2026 00:00:00 GMT", None),
    _dated("nowhere", None, None),
    _dated("with words", "the day before yesterday, at tea time", None),
    _dated("with 100,000 digits", "1" * 100_000),
    _dated("with an offset of 99 hours", "Thu, 28 May 2026 07:00:00 +9999", 2026),
    _dated("in a zone that nobody knows", "Thu, 28 May 2026 07:00:00 MARS", 2026),
    _again("changes its ids at every fetch", lambda n: _all(guid=lambda place: f"id-{n}-{place}")),
    _again("changes its links at every fetch", lambda n: _all(link=lambda place: f"http://{PAGE_HOST}/{n}/{place}")),
    _again(
        "changes its ids and links at every fetch",
        lambda n: _all(guid=lambda p: f"id-{n}-{p}", link=lambda p: f"http://{PAGE_HOST}/{n}/{p}"),
    ),
    _again(
        "adds a tracking parameter at every fetch",
        lambda n: _all(link=lambda p: f"http://{PAGE_HOST}/p/{p}?utm_id={n}#{n}", guid=lambda p: f"x-{n}-{p}"),
    ),
    _again(
        "edits every item at every fetch",
        lambda n: rss(*(item(f"{title}{' (updated)' * n}", place + 1) for place, title in enumerate(GOOD))),
    ),
    _again(
        "rewrites every text at every fetch",
        lambda n: rss(
            *(
                item(title, place + 1 + 10 * n, link=f"http://{PAGE_HOST}/p/{place}", guid=f"id-{place}")
                for place, title in enumerate(GOOD)
            )
        ),
    ),
    _again(
        "changes every date at every fetch",
        lambda n: rss(*(good(place, date=f"Thu, {20 + n} May 2026 0{place}:00:00 GMT") for place in range(3))),
    ),
    _again("shuffles its items at every fetch", lambda n: rss(*(good((place + n) % 3) for place in range(3)))),
    _again(
        "repeats each item in the feed", lambda n: rss(*(good(place) for place in (0, 1, 2, 0, 1, 2)), f"<!--{n}-->")
    ),
    _again(
        "gives all items the same id", lambda n: rss(*(good(place, guid="same") for place in range(3)), f"<!--{n}-->")
    ),
    _again(
        "gives all items the same link",
        lambda n: rss(*(good(p, link="http://a.example.com/") for p in range(3)), f"<!--{n}-->"),
    ),
    _again(
        "takes its items back and brings them again",
        lambda n: rss(*(() if n == 1 else (good(0), good(1), good(2))), f"<!--{n}-->"),
    ),
    _again(
        "moves its pieces to another host",
        lambda n: _all(link=lambda p: f"http://{('a', 'b', 'c')[n]}.example.com/p/{p}", guid=lambda p: f"id-{p}"),
    ),
    _again(
        "writes its ids in other cases and with spaces",
        lambda n: _all(guid=lambda p: f"{' ' * n}ID-{p}" if n else f"ID-{p}"),
    ),
    Behaviour(
        "gives all items the same teaser and no pages",
        {FEED: served(rss(*(good(place, text="Read on at our site, and leave a comment.") for place in range(3))))},
        GOOD,
        notes="page: pages.example.com answers 404",
    ),
    Behaviour(
        "brings 500 new pieces at every fetch",
        {FEED: [served(rss(*_flood(number))) for number in range(2)]},
        tuple(f"Observation {n} of day {number}" for number in range(2) for n in range(500)),
        fetches=2,
        within=60,
        slow=True,
    ),
    Behaviour(
        "adds 400 back-dated pieces at once",
        {FEED: [served(rss(good(0), good(1), good(2))), served(rss(good(0), good(1), good(2), _LONG_AGO))]},
        (*GOOD, *(f"The report of station {n}" for n in range(400))),
        fetches=2,
        within=60,
        check=_nobody_asked_for_pages,
        slow=True,
    ),
)
