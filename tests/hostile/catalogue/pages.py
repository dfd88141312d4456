"""Good feeds whose pages are hostile: the piece stays, with its teaser and a note of why its page could not be had."""

from __future__ import annotations

import gzip
import json

from newsletter.values import TextOrigin
from tests.hostile.publisher import (
    FEED,
    FIRST,
    MAX_PAGE_BYTES,
    PAGE_HOST,
    SECOND,
    THIRD,
    Behaviour,
    Outcome,
    forever,
    good,
    hang_up,
    item,
    rss,
    served,
)
from tests.newsletter.feeds import article
from tests.newsletter.loopback import Answer, reply

_TEASER = "The beginning of it, and then ..."
_FEED = rss(good(0), item(SECOND, 2, text=_TEASER), item(THIRD, 3, text=_TEASER))
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_WORDS = "".join(f"<p>{p}</p>" for p in article(400, 3).split("\n\n"))
PAGE = "<html><body><nav>Home</nav><article><h1>{}</h1>{}</article></body></html>"
_PAGE = PAGE.format(THIRD, _WORDS)
_LIMIT = "took more than 8 seconds|took more than 10 seconds|of memory|only \\d+ words"


def _page(
    name: str, answer: Answer, notes: str, *, slow: bool = False, patience: float = 10.0, within: float = 10.0
) -> Behaviour:
    """A feed of a whole piece and two teasers: the page of one is hostile, that of the other is good."""
    answers = {FEED: served(_FEED), "/p/2": answer, "/p/3": served(_PAGE, "text/html")}
    return Behaviour(
        f"has a page that {name}",
        answers,
        (FIRST, SECOND, THIRD),
        notes=f"^{SECOND}: page: .*(?:{notes})",
        patience=patience,
        within=within,
        check=_the_other_page_is_whole,
        slow=slow,
    )


def _the_other_page_is_whole(outcome: Outcome) -> None:
    assert [piece.origin for piece in outcome.stored] == [TextOrigin.FEED, TextOrigin.DESCRIPTION, TextOrigin.PAGE]


def _all_are_whole(outcome: Outcome) -> None:
    assert outcome.stored[1].origin == TextOrigin.PAGE and outcome.stored[1].words > 250


def _readable(name: str, body: str | bytes, kind: str = "text/html") -> Behaviour:
    """A page that is odd, and still has its text."""
    return Behaviour(
        f"has a page that {name}",
        {FEED: served(rss(good(0), item(SECOND, 2, text=_TEASER))), "/p/2": served(body, kind)},
        (FIRST, SECOND),
        check=_all_are_whole,
    )


BEHAVIOURS = (
    _page("never ends", forever(b"<p>more</p>" * 6_000, _OK + b"\r\n"), f"more than {MAX_PAGE_BYTES:,} bytes"),
    _page("drips", forever(b"<p>", _OK + b"\r\n", 0.02), "did not answer completely", patience=0.5, within=4),
    _page(
        "is a gzip bomb", served(gzip.compress(b" " * 100_000_000, 9, mtime=0), content_encoding="gzip"), "more than"
    ),
    _page("is packed in a way that we did not ask for", served(b"\x1b" * 99, content_encoding="br"), "do not accept"),
    _page("hangs up", hang_up, "the connection broke|breaks off"),
    _page("breaks off", _OK + b"Content-Length: 5000\r\n\r\n<p>cut", "breaks off"),
    _page("is not there", reply(b"", "404 Not Found"), "answers 404"),
    _page("is gone", reply(b"", "410 Gone"), "answers 410"),
    _page("asks for patience", reply(b"", "429 Too Many Requests", retry_after="60"), "answers 429"),
    _page("is empty", served(b"", "text/html"), "only 0 words"),
    _page("asks to log in", served("<html><form><input type=password></form>", "text/html"), "only \\d+ words"),
    _page("is a PDF", served(b"%PDF-1.7\n" + bytes(range(256)) * 1_000, "application/pdf"), "only 0 words"),
    _page("is a film", served(bytes(range(256)) * 20_000, "video/mp4"), "only 0 words"),
    _page(
        "is a JSON of 1,000 words", served(json.dumps({"text": "word " * 1_000}), "application/json"), "only 0 words"
    ),
    _page("is PostScript of 1,000 words", served("%!PS\n" + "word " * 1_000, "text/html"), "only 0 words"),
    _page("says the same word 100,000 times without a space", served("word" * 100_000, "text/html"), "only \\d+ words"),
    _page("is nothing but scripts", served("<script>var a = 1;</script>" * 20_000, "text/html"), "only \\d+ words"),
    _page("nests 100,000 elements", served("<div>" * 100_000 + "Deep.", "text/html"), "only \\d+ words", slow=True),
    _page("has 100,000 attributes", served(f"<p {' '.join(f'a{n}=1' for n in range(100_000))}>x", "text/html"), "only"),
    _page(
        "names entities in a bomb",
        served("<!DOCTYPE x [<!ENTITY a 'aaaa'>]><p>" + "&a;" * 100_000, "text/html"),
        "only",
    ),
    _page("has 300,000 elements", served("<p><b></b></p>" * 150_000, "text/html"), _LIMIT, slow=True, within=40),
    _page("takes a parser long", served("<table><tr><td>" * 60_000 + "x", "text/html"), _LIMIT, slow=True, within=40),
    _page("is 9 MB of open links", served("<a href=x>" * 900_000, "text/html"), _LIMIT, slow=True, within=40),
    _readable("says Latin-1 and is UTF-8", _PAGE, "text/html; charset=iso-8859-1"),
    _readable("is UTF-16", _PAGE.encode("utf-16"), "text/html"),
    _readable("names a codec that is no encoding", _PAGE, "text/html; charset=base64"),
    _readable("has nulls in it", _PAGE.replace("<p>", "<p>\0")),
    _readable("is called a picture", _PAGE, "image/png"),
    _readable("never closes anything", _PAGE.replace("</p>", "").replace("</article></body></html>", "")),
    _readable("is wrapped in 200 elements", "<div>" * 200 + _PAGE),
    Behaviour(
        "has a page that is another publisher's private place",
        {FEED: served(rss(good(0), item(SECOND, 2, text=_TEASER, link=f"http://{PAGE_HOST}.nip.example.com/")))},
        (FIRST, SECOND),
        notes="cannot be resolved",
    ),
)
