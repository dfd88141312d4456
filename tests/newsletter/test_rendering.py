"""The mail itself: whatever the pieces say, it is whole, safe, small, readable, and nobody else's."""

from __future__ import annotations

import datetime as dt
import re
import string
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter import sections
from newsletter.rendering import (
    COLUMNS,
    LONGEST_READER,
    MOST_HTML_BYTES,
    SUBJECT_LENGTH,
    LetterWords,
    Masthead,
    Phrases,
    Reader,
    RenderedEdition,
    RenderedLetter,
    Renderer,
    RenderingError,
    columns_of,
    shortened,
    templates_folder,
    web_link,
    wrap,
)
from newsletter.theme import Theme
from newsletter.values import (
    Claim,
    Edition,
    Issue,
    IssuePiece,
    Section,
    SectionShape,
    Summary,
    SummaryKind,
    TextOrigin,
)
from subscribers.tokens import LIFETIMES, Purpose
from tests.newsletter import makers

MASTHEAD = Masthead(
    name="AI Research Digest",
    base_url="https://newsletter.example.com",
    tagline="The few pieces worth your time.",
    postal_address="Example Newsletter\n1 Example Street",
    topic_names={"safety": "Safety", "evaluations": "Evaluations"},
)
READER = Reader(
    "ada@example.com",
    "https://newsletter.example.com/u/ada",
    "https://newsletter.example.com/p/ada",
    "you follow safety",
    "https://newsletter.example.com/f/ada",
)
RENDERER = Renderer(MASTHEAD)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

NASTY = (
    "w" * 200,
    "مرحبا بالعالم",
    "דוח מחקר",
    "完全な要約" * 30,
    "👩‍🔬🧪🇩🇪",
    "“quotes” 'single' \"double\"",
    "]]>",
    "{{ reader.address }}",
    "{% raw %}",
    "{# gone? #}",
    "{because}",
    "{0}",
    "%(name)s",
    "<mj-text>",
    "</mj-section>",
    "<mj-include path='x' />",
    "<script>alert(1)</script>",
    "<!-- gone? -->",
    "<![endif]-->",
    "<b>&amp;",
    "&nbsp;",
    "&lt;",
    "javascript:alert(1)",
    "a\u0301\u0302" * 50,
    "https://example.com/" + "long/" * 40,
    "From here",
    ".",
    "-- ",
)
"""Words that have broken mails: too long, from right to left, or looking like our code."""


@dataclass
class Element:
    """An element of the parsed mail with the text directly and indirectly in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A mail as parsed; ``faults`` are tags that do not match up."""

    elements: list[Element] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.faults += [f"{tag} has {name} twice" for name in set(names) if names.count(name) > 1]
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1].tag == tag:
            self._open.pop()
        else:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def one(self, tag: str) -> Element:
        (element,) = self.all(tag)
        return element

    @property
    def links(self) -> list[str]:
        return [element.attributes["href"] for element in self.all("a")]

    @property
    def shown(self) -> str:
        """The text that a reader sees."""
        return next(element for element in self.elements if element.attributes.get("role") == "main").text


def parse(markup: str) -> Page:
    page = Page()
    page.feed(markup)
    page.close()
    page.faults += [f"<{element.tag}> stays open" for element in page._open]
    return page


def entry(number: int = 1, **changes: object) -> IssuePiece:
    return IssuePiece(makers.piece(number, **changes), digest(), ("safety",))


def digest(words: int = 120, seed: int = 1) -> Summary:
    """A summary with all four sections, of about so many words."""

    def section(key: str, heading: str, share: float, **more: bool) -> Section:
        text = makers.prose(max(1, int(words * share)), seed).replace("\n\n", " ")
        return Section(key, heading, SectionShape.PROSE, ((Claim(text),),), **more)

    takeaways = tuple((Claim(makers.prose(max(1, words // 12), seed + n)),) for n in range(3))
    sections = (
        section("summary", "", 0.35),
        section("why_it_matters", "Why it matters", 0.2),
        section("build", "What you can build with this", 0.2, is_suggestion=True),
        Section("takeaways", "Key takeaways", SectionShape.LIST, takeaways),
    )
    return Summary(SummaryKind.DIGEST, sections, "claude", "model-1")


def issue(*entries: IssuePiece) -> Issue:
    return makers.issue(*(entries or tuple(entry(number) for number in (1, 2, 3))), number=12)


def rendered(*entries: IssuePiece, renderer: Renderer = RENDERER) -> RenderedEdition:
    made = issue(*entries)
    return renderer.edition(Edition(made, made.pieces))


def saying(text: str) -> IssuePiece:
    """A piece whose every text is this one."""
    claims = ((Claim(text),), (Claim(f"{text} {text}"),))
    sections = (
        Section("summary", "", SectionShape.PROSE, claims),
        Section("build", text, SectionShape.PROSE, claims, is_suggestion=True),
        Section("takeaways", text, SectionShape.LIST, claims),
    )
    made = makers.piece(1, title=text, url=text, authors=(text,), source=replace(makers.FORUM, name=text))
    return IssuePiece(made, Summary(SummaryKind.DIGEST, sections, "claude", text), ("safety",))


def cleaned(text: str) -> str:
    """The text as it may arrive: no control characters, white space as single spaces."""
    return " ".join(re.sub(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffe\uffff]", "", text).split())


def nasty_texts() -> st.SearchStrategy[str]:
    words = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=30))
    return st.lists(words, min_size=1, max_size=6).map(" ".join)


def words_of(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text) if len(word) > 1]


def long_lines(text: str) -> list[str]:
    """Lines that are too long, but for a URL alone."""
    too_long = (line for line in text.splitlines() if columns_of(line) > COLUMNS)
    return [line for line in too_long if not web_link(line)]


# What every mail keeps, whatever its pieces say


@settings(max_examples=60, deadline=None)
@given(nasty_texts())
@example(" ".join(NASTY))
def test_whatever_a_piece_says_the_mail_is_well_formed_and_says_it_verbatim(text: str) -> None:
    edition = rendered(saying(text), entry(2))
    page = parse(edition.html(READER))
    assert page.faults == []
    assert "<mj-" not in edition.html(READER)
    if cleaned(text):
        assert cleaned(text) in [cleaned(item.text) for item in page.all("li")]
    assert page.one("title").text == edition.subject
    assert not page.all("script", "img", "iframe", "form", "object")


@settings(max_examples=60, deadline=None)
@given(nasty_texts(), nasty_texts())
@example(" ".join(NASTY), "x")
def test_no_line_of_the_text_is_over_72_columns_for_any_reader(text: str, because: str) -> None:
    edition = rendered(saying(text))
    for reader in (READER, LONGEST_READER, replace(READER, because=because)):
        assert long_lines(edition.text(reader)) == []


@settings(max_examples=40, deadline=None)
@given(nasty_texts(), nasty_texts())
def test_what_a_reader_brings_is_escaped_and_never_read_as_a_template(because: str, address: str) -> None:
    page = parse(rendered().html(replace(READER, because=because, address=address)))
    assert page.faults == []
    shown = " ".join(page.shown.split())
    for value in (because, address):
        assert cleaned(value) in shown


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//example.com/",
        "/relative",
        "mailto:a@example.com",
        "https://",
        "https://[half",
        'https://example.com/"onclick="x',
        "https://example.com/a b",
        "java\nscript:alert(1)",
        "",
    ],
)
def test_an_address_that_is_not_on_the_web_is_no_link(url: str) -> None:
    edition = rendered(entry(1, url=url))
    page = parse(edition.html(READER))
    assert web_link(url) == ""
    assert {urlsplit(link).scheme for link in page.links} == {"https"}
    assert not any("Read the piece" in element.text for element in page.all("a"))
    assert "Read the piece" not in edition.text(READER)


def test_a_link_with_quotes_and_ampersands_arrives_as_it_is() -> None:
    url = "https://example.com/?a=1&b='2'&amp;c=%22#x"
    edition = rendered(entry(1, url=url))
    assert url in parse(edition.html(READER)).links
    assert url in edition.text(READER).splitlines()


def test_nothing_of_one_reader_is_in_the_mail_of_another() -> None:
    edition = rendered()
    readers = [
        Reader(
            f"reader{n}x@example.com",
            f"https://example.com/u/token{n}x",
            f"https://example.com/p/wish{n}x",
            f"you follow thing{n}x",
            f"https://example.com/f/vote{n}x",
        )
        for n in range(50)
    ]
    marks = re.compile(r"(?:reader|token|wish|thing|vote)\d+x")
    for n, reader in enumerate(readers):
        wanted = {f"reader{n}x", f"token{n}x", f"wish{n}x", f"thing{n}x", f"vote{n}x"}
        assert set(marks.findall(edition.html(reader))) == wanted
        assert set(marks.findall(edition.text(reader))) == wanted


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = rendered(), Renderer(MASTHEAD).edition(Edition(issue(), issue().pieces))
    assert first == second
    assert first.html(READER) == second.html(READER)
    assert first.text(READER) == second.text(READER)


def test_a_mail_asks_no_server_for_anything() -> None:
    markup = rendered().html(READER)
    page = parse(markup)
    loading = {"src", "srcset", "background", "poster", "data", "ping", "action"}
    assert not [element for element in page.elements if loading & set(element.attributes)]
    assert not page.all("link", "img", "script", "iframe")
    assert not re.search(r"url\(|@import|@font-face", markup)


# Structure, for those who listen or have no styles


def test_headings_are_in_order() -> None:
    headings = [element.tag for element in parse(rendered().html(READER)).all("h1", "h2", "h3", "h4")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert all(int(after[1]) - int(before[1]) <= 1 for before, after in pairwise(headings))


def test_every_table_is_for_layout_alone() -> None:
    markup = rendered().html(READER)
    page = parse(markup)
    hidden = [element for comment in page.comments for element in re.findall(r"<table[^>]*>", comment)]
    assert {element.attributes.get("role") for element in page.all("table")} == {"presentation"}
    assert all('role="presentation"' in table for table in hidden)


def test_the_mail_names_its_language_direction_and_main_part() -> None:
    page = parse(rendered().html(READER))
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("html").attributes["dir"] == "ltr"
    assert sum(element.attributes.get("role") == "main" for element in page.elements) == 1
    schemes = [e.attributes["content"] for e in page.all("meta") if e.attributes.get("name") == "color-scheme"]
    assert schemes == ["light dark"]


def test_a_text_from_right_to_left_is_isolated_and_no_other() -> None:
    page = parse(rendered(saying("مرحبا بالعالم"), entry(2)).html(READER))
    isolated = [element for element in page.elements if element.attributes.get("dir") == "auto"]
    assert isolated
    assert all("مرحبا" in element.text for element in isolated)
    assert not [element for element in isolated if element.tag == "li"]
    assert not [e for e in parse(rendered().html(READER)).elements if e.attributes.get("dir") == "auto"]


def test_words_stay_apart_without_styles() -> None:
    shown = parse(rendered().html(READER)).shown
    assert re.search(r"AI Research Digest\s+29 May 2026", shown)
    assert re.search(r"Our suggestion\s+What you can build", shown)
    assert re.search(r"1\.\s+Finding number 1", shown)


# The two parts say the same


def test_the_text_has_the_words_of_the_html() -> None:
    entries = (
        entry(1),
        excerpts(2),
        IssuePiece(makers.piece(3, origin=TextOrigin.ABSTRACT), digest(), ("safety",)),
    )
    edition = rendered(*entries)
    wanted = Counter(words_of(parse(edition.html(READER)).shown))
    missing = wanted - Counter(words_of(edition.text(READER)))
    assert missing.total() <= 0.05 * wanted.total()


def test_the_text_has_the_links_of_the_html_and_no_other() -> None:
    edition = rendered()
    assert set(re.findall(r"https?://\S+", edition.text(READER))) == set(parse(edition.html(READER)).links)


def test_the_links_lead_to_the_pieces_the_web_issue_and_the_ways_out() -> None:
    made = issue()
    edition = RENDERER.edition(Edition(made, made.pieces[1:]))
    web = "https://newsletter.example.com"
    assert set(parse(edition.html(READER)).links) == {
        f"{web}/issues",
        f"{web}/issues/12",
        f"{web}/issues/12#piece-2",
        f"{web}/issues/12#piece-3",
        "https://forum.example.com/posts/2",
        "https://forum.example.com/posts/3",
        READER.preferences_url,
        f"{READER.preferences_url}#pause",
        READER.unsubscribe_url,
        f"{READER.feedback_url}/2",
        f"{READER.feedback_url}/3",
    }


# What is in a mail


def excerpts(number: int) -> IssuePiece:
    section = Section("summary", "", SectionShape.PROSE, ((Claim("A sentence of the author."),),))
    made = Summary(SummaryKind.EXCERPTS, (section,), "excerpts")
    return IssuePiece(makers.piece(number), made, ("evaluations",))


def test_a_mail_has_every_element_of_an_issue() -> None:
    text = parse(rendered(entry(1, source=makers.MAGAZINE), excerpts(2)).html(READER)).shown
    for element in (
        "AI Research Digest",
        "29 May 2026",
        "2 pieces selected from The Magazine, The Forum",
        "min read",
        "Safety\u00a0· Evaluations",
        "Generated automatically by model-1",
        "The Magazine\u00a0· Ada Example\u00a0· 28 May 2026\u00a0· 1 min",
        "Why it matters",
        "Our suggestion",
        "What you can build with this",
        "Key takeaways",
        "Read the piece at The Magazine",
        "3 min in full",
        "All issues",
        "View in browser",
        "You get this mail because you follow safety.",
        "It was sent to ada@example.com.",
        "Change what you get",
        "Unsubscribe",
        "1 Example Street",
        "written by model-1, a language model",
    ):
        assert element in text


def test_the_takeaways_come_first_and_then_the_summary_has_a_heading() -> None:
    headings = [element.text.strip() for element in parse(rendered(entry()).html(READER)).all("h3")]
    assert headings == [
        "Key takeaways",
        "Summary",
        "Why it matters",
        "Our suggestion\nWhat you can build with this",
    ]


def test_an_excerpt_is_marked_as_one_and_quoted() -> None:
    edition = rendered(excerpts(1))
    page = parse(edition.html(READER))
    assert "Excerpts: the author's own sentences, chosen automatically." in page.shown
    assert page.one("blockquote").text.strip() == "A sentence of the author."
    assert "> A sentence of the author." in edition.text(READER).splitlines()
    assert "Generated automatically, without a language model" in page.shown
    assert "model-1" not in page.shown


def test_an_abstract_is_marked_as_one() -> None:
    abstract = IssuePiece(makers.piece(1, origin=TextOrigin.ABSTRACT), digest())
    assert "Abstract only" in rendered(abstract).text(READER)
    assert "in full" not in rendered(abstract).text(READER)
    assert "Abstract only" not in rendered(entry()).text(READER)


def test_an_empty_section_is_not_shown() -> None:
    empty = Section("why_it_matters", "Why it matters", SectionShape.PROSE, ((Claim("  "),),))
    one = entry()
    entry_with_gap = replace(one, summary=replace(one.summary, sections=(one.summary.sections[0], empty)))
    assert "Why it matters" not in rendered(entry_with_gap).text(READER)


@pytest.mark.parametrize(
    ("count", "names"),
    [(1, "A0 ·"), (2, "A0 and A1 ·"), (4, "A0, A1, A2 and A3 ·"), (9, "A0, A1, A2 and 6 others ·")],
)
def test_authors_are_named_and_many_are_counted(count: int, names: str) -> None:
    authors = tuple(f"A{n}" for n in range(count))
    assert names in " ".join(rendered(entry(1, authors=authors)).text(READER).split())


def test_a_date_is_that_of_the_newsletters_time_zone() -> None:
    late = entry(1, published=dt.datetime(2026, 5, 28, 23, 30, tzinfo=dt.UTC))
    berlin = Renderer(replace(MASTHEAD, time_zone="Europe/Berlin"))
    assert "· 28 May 2026 ·" in rendered(late).text(READER)
    assert "· 29 May 2026 ·" in rendered(late, renderer=berlin).text(READER)


def test_a_piece_without_date_and_authors_has_no_gaps() -> None:
    assert "\nThe Forum · 1 min\n" in rendered(entry(1, published=None, authors=())).text(READER)


def test_a_title_without_the_newsletters_name_stands_whole() -> None:
    made = replace(issue(), title="Special issue")
    page = parse(RENDERER.edition(Edition(made, made.pieces)).html(READER))
    assert page.one("h1").text == "Special issue"
    assert "AI Research Digest" in page.shown


# Subject and preheader


def test_the_subject_leads_with_the_first_piece_and_ends_with_the_title() -> None:
    edition = rendered()
    assert edition.subject == "Finding number 1 about some models · AI Research Digest — 29 May 2026"
    long = rendered(entry(1, title="A very long title " * 20))
    assert long.subject.endswith("… · AI Research Digest — 29 May 2026")
    assert len(long.subject) <= SUBJECT_LENGTH


def test_the_preheader_names_the_other_pieces_and_hides_what_follows() -> None:
    edition = rendered()
    assert edition.preheader.startswith("2 min read. Also: Finding number 2")
    hidden = next(e for e in parse(edition.html(READER)).elements if "display:none" in e.attributes.get("style", ""))
    assert hidden.text.startswith(edition.preheader)
    assert hidden.text.removeprefix(edition.preheader).strip("\u034f\u200c\u00a0") == ""
    assert len(hidden.text) > 200


def test_the_preheader_of_a_single_piece_says_what_is_in_it() -> None:
    edition = rendered(excerpts(1))
    assert edition.preheader == "1 min read. A sentence of the author."


# Letters


WORDS: Mapping[str, Any] = tomllib.loads((templates_folder() / "words" / "en.toml").read_text("utf-8"))
LETTERS = sorted(WORDS["letters"])
LINK = "https://newsletter.example.com/c/c.1.1780038000.sig"


def words_of_letter(kind: str) -> LetterWords:
    return Phrases(WORDS, "en.toml").letter(kind)


def values_for(kind: str, text: str = "") -> dict[str, str]:
    """All that a letter of this kind needs: a URL where it wants one, else that text."""
    words = words_of_letter(kind)
    urls = {key: f"https://newsletter.example.com/{key}" for key in words.urls}
    texts = {"address": "ada@example.com", "contact": "owner@example.com"}
    return {key: text or texts.get(key, key) for key in words.needs} | urls


def letter(kind: str = "confirm", renderer: Renderer = RENDERER, **values: str) -> RenderedLetter:
    return renderer.letter(kind, values_for(kind) | values)


def test_there_is_a_letter_for_whatever_a_reader_may_ask_for() -> None:
    assert {"confirm", "already", "welcome", "lost", "data", "address", "moved"} <= set(LETTERS)


@pytest.mark.parametrize("kind", LETTERS)
def test_a_letter_is_a_mail_as_good_as_an_issue(kind: str) -> None:
    made = letter(kind)
    page = parse(made.html)
    assert page.faults == []
    assert "<mj-" not in made.html
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("title").text == made.subject
    assert [element.tag for element in page.all("h1", "h2", "h3")] == ["h1"]
    assert {element.attributes.get("role") for element in page.all("table")} == {"presentation"}
    assert not page.all("link", "img", "script", "form")
    assert not re.search(r"url\(|@import|@font-face|\ssrc=", made.html)
    assert "@media (prefers-color-scheme:dark)" in made.html


@pytest.mark.parametrize("kind", LETTERS)
def test_the_text_of_a_letter_has_the_links_and_words_of_the_html(kind: str) -> None:
    made = letter(kind)
    page = parse(made.html)
    wanted = {value for value in values_for(kind).values() if web_link(value)}
    assert set(page.links) == wanted
    assert {line for line in made.text.splitlines() if web_link(line)} == wanted
    hint = "Or open this address"
    assert Counter(words_of(page.shown.replace(hint, ""))) - Counter(words_of(made.text)) == Counter()
    assert long_lines(made.text) == []


@pytest.mark.parametrize("kind", LETTERS)
def test_a_letter_says_whose_it_is_and_to_whom_it_went(kind: str) -> None:
    made = letter(kind)
    for said in (parse(made.html).shown, made.text):
        assert "AI Research Digest" in said
        assert "1 Example Street" in said
        assert said.count("ada@example.com") == said.count("This letter was sent to ada@example.com.") == 1


def test_the_address_behind_the_button_can_be_read_under_it() -> None:
    anchors = [element for element in parse(letter(url=LINK).html).all("a") if element.attributes["href"] == LINK]
    assert [element.text.strip() for element in anchors] == ["Confirm that you want it", LINK]


@pytest.mark.parametrize(
    ("kind", "purpose", "said"),
    [
        ("confirm", Purpose.CONFIRM, "It works for 7 days."),
        ("data", Purpose.DATA, "The link works for one hour."),
        ("address", Purpose.ADDRESS, "It works for one day."),
    ],
)
def test_a_letter_says_how_long_its_link_works(kind: str, purpose: Purpose, said: str) -> None:
    lengths = {"7 days": dt.timedelta(days=7), "one day": dt.timedelta(days=1), "one hour": dt.timedelta(hours=1)}
    assert said in " ".join(letter(kind).text.split())
    assert lengths[said.removesuffix(".").partition(" for ")[2]] == LIFETIMES[purpose]


def test_the_same_letter_gives_the_same_bytes() -> None:
    assert letter(url=LINK) == Renderer(MASTHEAD).letter("confirm", values_for("confirm") | {"url": LINK})


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(nasty_texts())
@example(" ".join(NASTY))
@example("a\r\nBcc: x@example.com\x00<script>alert(1)</script>" + "w" * 10_000)
def test_whatever_a_letter_is_given_it_stays_whole_small_and_on_its_lines(text: str) -> None:
    named = Renderer(replace(MASTHEAD, name=text))
    for kind in ("welcome", "moved"):
        made = named.letter(kind, values_for(kind, text))
        page = parse(made.html)
        assert page.faults == []
        assert not page.all("script", "img", "iframe", "form", "object")
        assert set(page.links) == {
            value for key, value in values_for(kind).items() if key in words_of_letter(kind).urls
        }
        assert long_lines(made.text) == []
        assert len(made.html.encode()) < 30_000
        assert len(made.subject) <= SUBJECT_LENGTH
        assert made.subject == cleaned(made.subject)


def test_what_looks_like_a_placeholder_in_a_value_is_none() -> None:
    made = letter("moved", Renderer(replace(MASTHEAD, name="{contact} {{ say }} {0}")), contact="{address}")
    assert made.subject == "{contact} {{ say }} {0} now goes to another address"
    assert "please write to {address}." in made.text


def test_a_letter_without_what_it_needs_is_refused_by_name() -> None:
    with pytest.raises(RenderingError, match=r"`welcome`.* archive_url, unsubscribe_url$"):
        RENDERER.letter("welcome", {"address": "ada@example.com", "url": LINK})


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://example.com/a\r\nb", "/relative"])
def test_a_letter_links_to_the_web_alone(url: str) -> None:
    with pytest.raises(RenderingError, match="its url is not an http or https address"):
        letter(url=url)
    with pytest.raises(RenderingError, match="its archive_url is not"):
        letter("welcome", archive_url=url)


def with_letters(folder: Path, tables: str) -> Renderer:
    """A renderer with these letters in place of ours."""
    ours = (templates_folder() / "words" / "en.toml").read_text("utf-8").partition("[letters.")[0]
    (folder / "words" / "en.toml").write_text(ours + tables, "utf-8")
    return Renderer(MASTHEAD, folder)


def test_a_new_kind_of_letter_is_a_table_of_the_fixed_texts(owned: Path) -> None:
    table = """[letters.approval]
subject = "{title} waits for you"
heading = "A draft waits"
paragraphs = ["{title}"]
links = { preview_url = "Look at it" }
"""
    given = {"address": "ada@example.com", "title": "Issue 3", "preview_url": LINK}
    made = with_letters(owned, table).letter("approval", given)
    assert made.subject == "Issue 3 waits for you"
    assert parse(made.html).links == [LINK]
    assert LINK in made.text.splitlines()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("[letters]", "has no `letters.confirm`"),
        ("", "has no `letters`"),
        ("[letters.confirm]\nsubject = 'x'\nheading = 'x'", "`letters.confirm` is not like that"),
        ("[letters.confirm]\nsubject = 'x'\nheading = 'x'\nparagraphs = 'x'", "`letters.confirm` is not like that"),
        ("[letters.confirm]\nsubject = 'x'\nheading = 'x'\nparagraphs = []\nboton = 'x'", "is not like that"),
        ("[letters.confirm]\nsubject = 'x}'\nheading = 'x'\nparagraphs = []", "the letter `confirm`: "),
        ("[letters.confirm]\nsubject = '{}'\nheading = '{nothing}'\nparagraphs = []", "nothing"),
    ],
)
def test_a_kind_of_letter_that_cannot_be_written_is_named(owned: Path, table: str, complaint: str) -> None:
    with pytest.raises(RenderingError, match=re.escape(complaint)):
        with_letters(owned, table).letter("confirm", values_for("confirm"))


# Sizes


def test_fifteen_pieces_of_300_words_stay_under_90_000_bytes_for_any_reader() -> None:
    entries = [IssuePiece(makers.piece(n), digest(words=300, seed=n), ("safety",)) for n in range(1, 16)]
    edition = rendered(*entries)
    assert edition.size < 90_000
    assert edition.size == len(edition.html(LONGEST_READER).encode())
    assert edition.size >= len(edition.html(READER).encode())


def test_fifteen_pieces_as_long_as_published_ones_stay_whole() -> None:
    """The published issues of the product have a median of 388 words and 2,648 bytes a piece, without title and source.

    Their titles have 59 letters and their addresses 80. (Words of `prose` are longer than words are.)
    """
    entries = [
        IssuePiece(
            makers.piece(
                n, title=f"{n} {'title ' * 9}".ljust(59, "x"), url=f"https://forum.example.com/{n}/{'u' * 52}"
            ),
            digest(words=300, seed=n),
            ("safety",),
        )
        for n in range(1, 16)
    ]
    for entry in entries:
        claims = [claim for section in entry.summary.sections for block in section.blocks for claim in block]
        assert sum(len(claim.sentence) + 1 for claim in claims) >= 2_648
    edition = rendered(*entries)
    assert edition.shortened == () and edition.size < 90_000


def scored(number: int, score: float, words: int = 1_000) -> IssuePiece:
    """A piece that is long to write about, with a score."""
    return IssuePiece(makers.piece(number), digest(words=words, seed=number), ("safety",), score)


def test_what_is_too_large_becomes_shorter_from_the_lowest_score_on() -> None:
    entries = [scored(number, score=float(number % 5)) for number in range(1, 16)]
    edition = rendered(*entries)
    assert edition.size <= MOST_HTML_BYTES
    by_worth = sorted(range(1, 16), key=lambda number: (number % 5, -number))
    assert edition.shortened == tuple(sorted(by_worth[: len(edition.shortened)]))
    assert 0 < len(edition.shortened) < 15
    page, text = parse(edition.html(READER)), edition.text(READER)
    on = [link for link in page.all("a") if link.text == "Read on in the browser"]
    assert [link.attributes["href"] for link in on] == [
        f"https://newsletter.example.com/issues/12#piece-{number}" for number in edition.shortened
    ]
    assert text.count("Read on in the browser:") == len(on)
    for number in range(1, 16):
        assert f"Finding number {number} about some models" in page.shown
        assert f"https://forum.example.com/posts/{number}" in page.links
    assert READER.unsubscribe_url in page.links and "1 Example Street" in page.shown


def test_one_byte_too_much_shortens_one_piece() -> None:
    for words in range(300, 400, 4):
        edition = rendered(*(scored(n, n, words) for n in range(1, 16)))
        if edition.shortened:
            break
    assert edition.shortened == (1,)


@pytest.mark.slow
@pytest.mark.parametrize("text", [" ".join(NASTY), "w" * 3_000, "https://example.com/" + "a" * 3_000, "& " * 1_500])
def test_whatever_fifty_pieces_say_the_mail_is_small_and_ends_with_its_footer(text: str) -> None:
    entries = []
    for number in range(1, 51):
        one = saying(text)
        entries.append(replace(one, piece=replace(one.piece, id=number), topics=("safety", "evaluations")))
    edition = rendered(*entries)
    assert edition.size <= MOST_HTML_BYTES
    assert len(edition.shortened) == 50
    page = parse(edition.html(READER))
    assert page.faults == []
    assert set(re.findall(r"https?://\S+", edition.text(READER))) >= set(page.links) - {text}
    for out in (READER.unsubscribe_url, READER.preferences_url):
        assert out in page.links and out in edition.text(READER)


def test_without_a_web_issue_what_is_too_large_becomes_shorter_all_the_same() -> None:
    nowhere = Renderer(replace(MASTHEAD, base_url=""))
    edition = rendered(*(scored(n, n) for n in range(1, 16)), renderer=nowhere)
    assert edition.shortened and edition.size <= MOST_HTML_BYTES
    assert "Read on" not in edition.html(READER)


# Looks


def test_a_theme_changes_the_colours_and_fonts() -> None:
    theme = Theme(light=replace(Theme().light, accent="#123456"), display_font="Palatino, serif")
    markup = rendered(renderer=Renderer(MASTHEAD, theme=theme)).html(READER)
    assert "#123456" in markup
    assert Theme().light.accent not in markup
    assert "Palatino, serif" in markup


def test_a_logo_text_stands_in_the_place_of_the_name() -> None:
    page = parse(rendered(renderer=Renderer(replace(MASTHEAD, logo="A·R·D"))).html(READER))
    assert " ".join(page.one("h1").text.split()) == "A·R·D 29 May 2026"
    assert page.one("title").text.endswith("AI Research Digest \N{EM DASH} 29 May 2026")


def test_a_template_that_cannot_be_read_is_found_before_it_is_used(owned: Path) -> None:
    Renderer(MASTHEAD, owned).check()
    page = owned / "pages" / "left.html"
    page.write_text("\n{% endif %}", "utf-8")
    with pytest.raises(RenderingError, match=re.escape(f"{page}:2: ")):
        Renderer(MASTHEAD, owned).check()
    page.write_bytes(b"\xff")
    with pytest.raises(RenderingError, match=r"pages/left\.html: byte 0 is not UTF-8"):
        Renderer(MASTHEAD, owned).check()


def test_every_template_of_ours_can_be_overridden_one_by_one(owned: Path) -> None:
    ours = [file.relative_to(templates_folder()) for file in sorted(templates_folder().rglob("*.mjml"))]
    assert len(ours) == 7
    for path in ours:
        whole = (templates_folder() / path).read_text("utf-8")
        (owned / path).write_text(whole, "utf-8")
        assert rendered(renderer=Renderer(MASTHEAD, owned)).html(READER) == rendered().html(READER)


# Languages

LANGUAGES = sorted(file.stem for file in (templates_folder() / "words").glob("*.toml"))


def catalogue(language: str) -> dict[str, Any]:
    return tomllib.loads((templates_folder() / "words" / f"{language}.toml").read_text("utf-8"))


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every text of a catalogue with its dotted key, also each of a list."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            yield from ((f"{prefix}{key}.{place}", one) for place, one in enumerate(value))
        else:
            yield f"{prefix}{key}", value


def gaps(text: str) -> Counter[str]:
    return Counter(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_german_and_french_come_with_english() -> None:
    assert LANGUAGES == ["de", "en", "fr"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_with_the_same_gaps_and_headings(language: str) -> None:
    theirs, ours = catalogue(language), dict(flat(catalogue("en")))
    headings = theirs.pop("sections", {})
    texts = dict(flat(theirs))
    assert texts.keys() == ours.keys()
    for key, text in texts.items():
        assert type(text) is type(ours[key]), key
        if isinstance(text, str):
            assert gaps(text) == gaps(ours[key]), key
            assert bool(text) == bool(ours[key]), key
    if language != "en":
        assert headings.keys() == {spec.key for spec in sections.load(sections.names()) if spec.heading}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "de",
            [
                "29. Mai 2026",
                "1 Beitrag, ausgewählt aus The Forum",
                "28. Mai 2026",
                "Warum das wichtig ist",
                "Das Wichtigste",
                "Abbestellen",
            ],
        ),
        (
            "fr",
            [
                "29 mai 2026",
                "1 article choisi parmi The Forum",
                "28 mai 2026",
                "Pourquoi c’est important",
                "À retenir",
                "Me désabonner",
            ],
        ),
    ],
)
def test_an_issue_speaks_its_language_from_the_title_to_the_footer(language: str, said: list[str]) -> None:
    renderer = Renderer(replace(MASTHEAD, language=language))
    made = replace(issue(entry()), title=renderer.title_for(dt.date(2026, 5, 29)))
    edition = renderer.edition(Edition(made, made.pieces))
    page, text = parse(edition.html(READER)), " ".join(edition.text(READER).split())
    assert page.one("html").attributes["lang"] == language
    assert edition.subject.endswith(f" AI Research Digest \N{EM DASH} {said[0]}")
    for words in said:
        assert words in " ".join(page.shown.split()) and words in text
    for english in ("Why it matters", "Key takeaways", "Unsubscribe", "Summary", "min read"):
        assert english not in text


@pytest.mark.parametrize(
    ("language", "everything", "two", "none"),
    [
        ("en", "you follow everything", "you follow safety and RL", "you asked for it"),
        ("de", "Sie alles lesen möchten", "Sie diese Themen gewählt haben: Safety und RL", "Sie darum gebeten haben"),
        ("fr", "vous suivez tous les sujets", "vous suivez ces sujets\u00a0: safety et RL", "vous l’avez demandé"),
    ],
)
def test_a_reader_is_told_why_they_get_a_mail(language: str, everything: str, two: str, none: str) -> None:
    renderer = Renderer(replace(MASTHEAD, language=language, topic_names={"s": "Safety", "o": "Other", "r": "RL"}))
    assert renderer.because(None) == everything
    assert renderer.because(frozenset({"r", "s"})) == two
    assert renderer.because(frozenset({"gone"})) == none


@pytest.mark.parametrize(
    ("language", "said"), [("en", "12,345 pieces"), ("de", "12.345 Beiträge"), ("fr", "12\u202f345 articles")]
)
def test_numbers_and_plurals_are_those_of_the_language(language: str, said: str) -> None:
    say = Phrases(catalogue(language), language)
    assert say("pieces", 12_345) == said
    assert (say("pieces", 0) == f"0 {said.split()[-1]}") is (language != "fr")
    assert say("pieces", 1).split()[0] == "1"


@pytest.mark.parametrize("language", ["de", "fr"])
@pytest.mark.parametrize("kind", catalogue("en")["letters"])
def test_every_letter_can_be_written_in_every_language(language: str, kind: str) -> None:
    made = Renderer(replace(MASTHEAD, language=language)).letter(kind, values_for(kind))
    assert parse(made.html).faults == [] and long_lines(made.text) == []
    assert made.subject != RENDERER.letter(kind, values_for(kind)).subject


# Templates, words and pages


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Path]:
    """A template folder of the owner's."""
    (tmp_path / "email").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "pages").mkdir()
    yield tmp_path


def test_an_owners_template_stands_in_for_ours_file_by_file(owned: Path) -> None:
    (owned / "email" / "issue.txt").write_text("Only {{ issue.title }}\n{{ reader.unsubscribe_url }}\n", "utf-8")
    edition = rendered(renderer=Renderer(MASTHEAD, owned))
    assert edition.text(READER) == f"Only {issue().title}\n{READER.unsubscribe_url}\n"
    assert edition.html(READER) == rendered().html(READER)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("<mjml><mj-body><mj-section><mj-column><mj-text>", "email/issue.mjml is no MJML"),
        ("<mjml><mj-body><mj-raw><mj-nothing></mj-nothing></mj-raw></mj-body></mjml>", "mj-nothing"),
        ("{% if %}", "email/issue.mjml:1"),
        ("{{ nothing_of_that_name }}", "nothing_of_that_name"),
        ('{% extends "email/absent.mjml" %}', "email/absent.mjml"),
        ("\n{{ 1 // 0 }}", "email/issue.mjml:2: integer division"),
        ("{{ pieces + 1 }}", "email/issue.mjml:1: can only concatenate tuple"),
        ("{{ pieces[0].title.no_such() }}", "email/issue.mjml:1: "),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "email/issue.mjml:1: maximum recursion"),
    ],
)
def test_a_broken_template_is_named(owned: Path, template: str, complaint: str) -> None:
    (owned / "email" / "issue.mjml").write_text(template, "utf-8")
    with pytest.raises(RenderingError, match=re.escape(complaint)):
        rendered(renderer=Renderer(MASTHEAD, owned))


def test_a_language_without_fixed_texts_is_refused_with_the_mend() -> None:
    with pytest.raises(RenderingError, match=r"'xx'.*words/xx\.toml"):
        Renderer(replace(MASTHEAD, language="xx"))


def test_a_region_uses_the_texts_of_its_language() -> None:
    page = parse(rendered(renderer=Renderer(replace(MASTHEAD, language="en-GB"))).html(READER))
    assert page.one("html").attributes["lang"] == "en-GB"


def test_a_language_of_the_owners_sets_texts_dates_and_direction(owned: Path) -> None:
    ours = (templates_folder() / "words" / "en.toml").read_text("utf-8")
    theirs = ours.replace('direction = "ltr"', 'direction = "rtl"').replace("Unsubscribe", "בטל")
    (owned / "words" / "he.toml").write_text(theirs.replace("{day} {month}", "{day}. {month}"), "utf-8")
    edition = rendered(renderer=Renderer(replace(MASTHEAD, language="he"), owned))
    page = parse(edition.html(READER))
    assert page.one("html").attributes["dir"] == "rtl"
    assert "בטל" in page.shown
    assert "28. May 2026" in edition.text(READER)
    texts = [e.attributes["style"] for e in page.all("div") if "line-height:1.58" in e.attributes.get("style", "")]
    assert texts
    assert all("text-align:right" in style for style in texts)
    assert not [e for e in page.elements if "direction:ltr" in e.attributes.get("style", "")]


def test_a_missing_text_is_named(owned: Path) -> None:
    (owned / "words" / "en.toml").write_text('direction = "ltr"\n', "utf-8")
    with pytest.raises(RenderingError, match="has no `"):
        rendered(renderer=Renderer(MASTHEAD, owned))


def test_a_page_is_rendered_from_its_template_and_escaped(owned: Path) -> None:
    (owned / "pages" / "hello.html").write_text("<p>{{ masthead.name }}: {{ word }}</p>", "utf-8")
    page = Renderer(MASTHEAD, owned).page("hello.html", word="<b>")
    assert page == "<p>AI Research Digest: &lt;b&gt;</p>"


@pytest.mark.parametrize("url", ["javascript:x", "", "https://example.com/a\nb"])
def test_a_reader_with_a_link_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https address"):
        replace(READER, unsubscribe_url=url)


# Wrapping and shortening


@given(nasty_texts())
def test_wrapping_keeps_every_character_and_72_columns(text: str) -> None:
    wrapped = wrap(text)
    assert long_lines(wrapped) == []
    assert "".join(wrapped.split()) == "".join(text.split())


@given(nasty_texts(), st.sampled_from([("* ", "  "), ("> ", "> "), ("12. ", "    ")]))
def test_lines_begin_as_told_but_for_long_urls(text: str, begins: tuple[str, str]) -> None:
    first, *rest = wrap(text, *begins).splitlines()
    assert first.startswith(begins[0].rstrip()) or web_link(first)
    assert all(line.startswith(begins[1]) or web_link(line) for line in rest)
    assert long_lines(wrap(text, *begins)) == []


def test_a_long_url_stands_whole_on_a_line_of_its_own() -> None:
    url = "https://example.com/" + "a" * 90
    assert wrap(f"see {url} there").splitlines() == ["see", url, "there"]
    assert wrap(url, "* ", "  ").splitlines() == ["*", url]


def test_a_wide_character_counts_two_columns() -> None:
    assert columns_of("要約") == 4
    lines = wrap("要" * 40).splitlines()
    assert len(lines) == 2
    assert all(columns_of(line) <= COLUMNS for line in lines)


def test_a_long_word_is_not_broken_within_a_character() -> None:
    lines = wrap("e\u0301" * 60).splitlines()
    assert len(lines) > 1
    assert not any(line.startswith("\u0301") for line in lines)


@given(st.text(max_size=200), st.integers(min_value=2, max_value=60))
def test_a_shortened_text_is_short_and_begins_like_the_whole(text: str, length: int) -> None:
    short = shortened(text, length)
    assert len(short) <= length
    assert text.startswith(short.removesuffix("…"))


def test_titles_of_round_ups_name_the_period() -> None:
    def title(kind: str, before: str, day: str) -> str:
        title = Renderer(Masthead("D", "")).round_up_title(
            kind, dt.date.fromisoformat(before), dt.date.fromisoformat(day)
        )
        return title.removeprefix("D \N{EM DASH} ")

    assert title("weekly", "2026-11-15", "2026-11-22") == "Week of 16 to 22 November 2026"
    assert title("weekly", "2026-12-27", "2027-01-03") == "Week of 28 December 2026 to 3 January 2027"
    assert title("weekly", "2026-11-29", "2026-12-06") == "Week of 30 November to 6 December 2026"
    assert title("monthly", "2026-10-01", "2026-11-01") == "October 2026"
    assert title("monthly", "2026-01-31", "2026-02-28") == "February 2026"
    assert title("monthly", "2026-10-15", "2026-11-15") == "16 October to 15 November 2026"


@pytest.mark.parametrize(
    ("language", "week", "month", "reason"),
    [
        (
            "en",
            "Week of 30 November to 6 December 2026",
            "October 2026",
            "and asked for one mail a",
        ),
        ("de", "Woche vom 30. November bis 6. Dezember 2026", "Oktober 2026", "gewünscht ist eine Mail"),
        ("fr", "Semaine du 30 novembre au 6 décembre 2026", "octobre 2026", "avez demandé un message par"),
    ],
)
def test_a_round_up_speaks_the_newsletters_language(language: str, week: str, month: str, reason: str) -> None:
    renderer = Renderer(Masthead("D", "", language=language))
    assert renderer.round_up_title("weekly", dt.date(2026, 11, 29), dt.date(2026, 12, 6)).endswith(week)
    assert renderer.round_up_title("monthly", dt.date(2026, 10, 1), dt.date(2026, 11, 1)).endswith(month)
    reasons = {renderer.because(None, kind) for kind in ("every", "weekly", "monthly")}
    assert len(reasons) == 3 and sum(reason in one for one in reasons) == 2
