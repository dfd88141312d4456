"""Values for tests, each with everything it needs and nothing that a test does not ask for."""

from __future__ import annotations

import datetime as dt
import random

from newsletter.values import (
    Appraisal,
    Claim,
    Issue,
    IssuePiece,
    Part,
    Piece,
    Section,
    SectionShape,
    Source,
    Summary,
    SummaryKind,
    TextOrigin,
)

DAY = dt.datetime(2026, 5, 29, 7, 0, tzinfo=dt.UTC)
FORUM = Source("https://forum.example.com/feed.xml", "The Forum", "https://forum.example.com/feed.xml")
MAGAZINE = Source("https://magazine.example.org/rss", "The Magazine", "https://magazine.example.org/rss")


def prose(words: int, seed: int = 0) -> str:
    """Light text of about so many words, different for each seed."""
    rng = random.Random(seed)
    stock = [f"word{rng.randrange(10_000)}" for _ in range(words)]
    sentences = [" ".join(stock[i : i + 12]).capitalize() + "." for i in range(0, words, 12)]
    return "\n\n".join(" ".join(sentences[i : i + 5]) for i in range(0, len(sentences), 5))


def piece(number: int = 1, **changes: object) -> Piece:
    """A full-text piece of 600 words with an address of its own."""
    given: dict[str, object] = {
        "title": f"Finding number {number} about some models",
        "url": f"https://forum.example.com/posts/{number}",
        "source": FORUM,
        "guid": f"post-{number}",
        "authors": ("Ada Example",),
        "published": DAY - dt.timedelta(days=1),
        "text": prose(600, number),
        "origin": TextOrigin.FEED,
        "identity": f"url:forum.example.com/posts/{number}",
        "id": number,
    }
    return Piece(**{**given, **changes})  # type: ignore[arg-type]  # a test names the fields it changes


def appraisal(
    number: int, score: float, *, topics: tuple[str, ...] = (), refusal: str = "", **changes: object
) -> Appraisal:
    """A candidate with that score."""
    return Appraisal(piece(number, **changes), DAY, topics, (Part("made", score, "by the test"),), refusal)


def summary(*, words: int = 120, kind: SummaryKind = SummaryKind.DIGEST, **changes: object) -> Summary:
    """A summary with an opening of so many words and two takeaways."""
    opening = tuple(Claim(sentence, (sentence,)) for sentence in prose(words, words).replace("\n\n", " ").split(". "))
    sections = (
        Section("summary", "", SectionShape.PROSE, (opening,)),
        Section(
            "takeaways",
            "Key takeaways",
            SectionShape.LIST,
            ((Claim("One holds."),), (Claim("Two does too."),)),
        ),
    )
    given: dict[str, object] = {"kind": kind, "sections": sections, "writer": "claude", "model": "model-1"}
    return Summary(**{**given, **changes})  # type: ignore[arg-type]  # a test names the fields it changes


def issue(*pieces: IssuePiece, number: int = 1) -> Issue:
    """An issue of these pieces, of three when none are given."""
    entries = pieces or tuple(IssuePiece(piece(n), summary(), ("safety",)) for n in (1, 2, 3))
    return Issue(number, DAY.date(), "AI Research Digest \N{EM DASH} 29 May 2026", entries)
