"""arXiv's feeds: abstracts under canonical addresses, replacements left out, names without TeX."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from newsletter import sources
from newsletter.sandbox import Sandbox
from newsletter.sources import Entry, Reading
from newsletter.sources.arxiv import paper_id, without_tex
from newsletter.values import Source

SOURCE = Source("key", "arXiv cs.AI", "https://rss.arxiv.org/atom/cs.AI")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


def entry_xml(number: str, announced: str, authors: str = "Jane Roe, Rick Doe") -> str:
    return f"""<entry><id>oai:arXiv.org:{number}v2</id><title>Paper {number} on
  two lines</title><updated>2026-03-02T05:00:11.866337+00:00</updated>
  <link href="https://arxiv.org/abs/{number}" rel="alternate" type="text/html"/>
  <summary>arXiv:{number}v2 Announce Type: {announced}
Abstract: We show that $a &lt; b$ &amp; more.</summary>
  <category term="cs.AI"/><category term="cs.LG"/><published>2026-03-02T00:00:00-05:00</published>
  <arxiv:announce_type>{announced}</arxiv:announce_type><dc:creator>{authors}</dc:creator></entry>"""


def atom(*entries: str) -> bytes:
    return f"""<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns="http://www.w3.org/2005/Atom"><id>http://rss.arxiv.org/atom/cs.AI</id>
 <title>cs.AI updates on arXiv.org</title>
 <link href="http://rss.arxiv.org/atom/cs.AI" rel="self" type="application/atom+xml"/>
 {"".join(entries)}</feed>""".encode()


def read(sandbox: Sandbox, body: bytes, source: Source = SOURCE) -> Reading:
    return sources.read(source, body, "application/atom+xml", sandbox.call)


def test_a_paper_is_an_abstract_under_its_canonical_address(sandbox: Sandbox) -> None:
    reading = read(sandbox, atom(entry_xml("2603.00001", "new")))
    assert (reading.kind, reading.title, reading.skipped) == ("arxiv", "cs.AI updates on arXiv.org", ())
    assert reading.entries == (
        Entry(
            title="Paper 2603.00001 on two lines",
            url="https://arxiv.org/abs/2603.00001",
            guid="oai:arXiv.org:2603.00001v2",
            authors=("Jane Roe", "Rick Doe"),
            published=dt.datetime(2026, 3, 2, 5, tzinfo=dt.UTC),
            categories=("cs.AI", "cs.LG"),
            content="",
            summary="<p>We show that $a &lt; b$ &amp; more.</p>",
            is_abstract=True,
            source=SOURCE,
        ),
    )


def test_replacements_are_left_out_with_a_note(sandbox: Sandbox) -> None:
    kinds = ("new", "cross", "replace", "replace-cross")
    reading = read(sandbox, atom(*(entry_xml(f"2603.0000{n}", kind) for n, kind in enumerate(kinds))))
    assert [entry.guid[-7:-2] for entry in reading.entries] == ["00000", "00001"]
    assert reading.skipped == ("2 entries that replace older papers left out",)


def test_arxivs_rss_is_read_like_its_atom(sandbox: Sandbox) -> None:
    body = b"""<?xml version="1.0"?><rss xmlns:arxiv="http://arxiv.org/schemas/atom"
 xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0"><channel><title>cs.AI</title>
 <link>http://rss.arxiv.org/rss/cs.AI</link><item><title>A paper</title>
 <link>https://arxiv.org/abs/2603.00001</link>
 <description>arXiv:2603.00001v1 Announce Type: new
Abstract: We show it.</description><guid isPermaLink="false">oai:arXiv.org:2603.00001v1</guid>
 <arxiv:announce_type>new</arxiv:announce_type>
 <dc:creator>Jane Roe, Rick Doe</dc:creator></item></channel></rss>"""
    reading = read(sandbox, body)
    assert reading.kind == "arxiv" and reading.entries[0].summary == "We show it."
    assert reading.entries[0].authors == ("Jane Roe", "Rick Doe") and reading.entries[0].is_abstract


def test_a_paper_in_a_general_feed_is_an_abstract_too_and_its_neighbour_is_not(sandbox: Sandbox) -> None:
    body = b"""<rss version="2.0"><channel><title>Links</title>
 <item><title>A paper</title><link>http://export.arxiv.org/pdf/cs.CL/0701001v3.pdf</link></item>
 <item><title>A post</title><link>https://blog.example.com/arxiv.org/abs/2603.00001</link></item>
 </channel></rss>"""
    reading = read(sandbox, body)
    assert reading.kind == "feed"
    assert [(entry.url, entry.is_abstract) for entry in reading.entries] == [
        ("https://arxiv.org/abs/cs.CL/0701001", True),
        ("https://blog.example.com/arxiv.org/abs/2603.00001", False),
    ]


@pytest.mark.parametrize(
    ("url", "paper"),
    [
        ("https://arxiv.org/abs/2603.00001", "2603.00001"),
        ("http://www.arxiv.org/abs/2603.00001v12", "2603.00001"),
        ("https://export.arxiv.org/pdf/2603.00001v1.pdf?download=1", "2603.00001"),
        ("https://arxiv.org/html/2603.00001v1/", "2603.00001"),
        ("https://arxiv.org/abs/math.GT/0309136", "math.GT/0309136"),
        ("https://arxiv.org/abs/hep-th/9901001v2", "hep-th/9901001"),
        ("https://arxiv.org/list/cs.AI/new", ""),
        ("https://arxiv.org/abs/2603.00001/../../x", ""),
        ("https://notarxiv.org/abs/2603.00001", ""),
        ("https://arxiv.org.example.com/abs/2603.00001", ""),
        ("https://arxiv.org@example.com/abs/2603.00001", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_the_id_of_a_paper_is_read_from_addresses_of_arxiv_only(url: str, paper: str) -> None:
    assert paper_id(url) == paper


@pytest.mark.parametrize(
    ("tex", "name"),
    [
        ("Paulo Andr\\'e", "Paulo André"),
        ('{\\"O}zg{\\"u}r', "Özgür"),
        ("S{\\o}ren \\v{S}koda", "Søren Škoda"),
        ("Fran\\c{c}ois", "François"),
        ("Garc\\'{\\i}a", "García"),
        ("\\L ukasz", "Łukasz"),
        ("Erd\\H{o}s", "Erdős"),
        ("Stra{\\ss}e", "Straße"),
        ("Ma\\~nana", "Mañana"),
        ("O'Brien", "O'Brien"),
        ("a\\unknown{b}", "a\\unknown{b}"),
    ],
)
def test_tex_in_names_becomes_letters(tex: str, name: str) -> None:
    assert without_tex(tex) == name


def test_names_of_papers_are_without_tex(sandbox: Sandbox) -> None:
    reading = read(sandbox, atom(entry_xml("2603.00001", "new", "Paulo Andr\\'e, J. Roe")))
    assert reading.entries[0].authors == ("Paulo André", "J. Roe")
