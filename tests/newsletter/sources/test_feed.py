"""RSS and Atom as they come: good, sloppy, broken and hostile."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter import sources
from newsletter.sandbox import Sandbox, SandboxError
from newsletter.sources import NotAFeed, Reading, feed
from newsletter.sources.feed import MAX_ENTRIES, split_authors
from newsletter.values import Source

SOURCE = Source("key", "Field Notes", "https://notes.example.com/feed.xml")
GOOD = "<item><title>Good</title><link>https://notes.example.com/good</link></item>"
# Without U+0080 to U+00FF, of which feedparser takes some rows for UTF-8 that was encoded twice.
LETTERS = st.characters(max_codepoint=0x7F, categories=("L", "N", "P", "S")) | st.characters(
    min_codepoint=0x100, categories=("L", "N", "P", "S")
)
LINE = st.lists(st.text(LETTERS, min_size=1), min_size=1, max_size=4).map(" ".join)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


def rss(*items: str, title: str = "The Venue", root: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/" {root}>
 <channel><title>{title}</title><link>https://notes.example.com/</link>{"".join(items)}</channel></rss>""".encode(
        "utf-8", "surrogatepass"
    )


def atom(*entries: str, head: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">
 <title>The Venue</title><id>urn:venue</id>{head}{"".join(entries)}</feed>""".encode()


def read(sandbox: Sandbox, body: bytes, content_type: str = "application/xml") -> Reading:
    return sources.read(SOURCE, body, content_type, sandbox.call)


def refusal(sandbox: Sandbox, body: bytes, content_type: str = "text/html") -> str:
    with pytest.raises(NotAFeed) as caught:
        read(sandbox, body, content_type)
    assert str(caught.value).isprintable()
    return str(caught.value)


# What an entry holds


def test_an_rss_item_is_read_whole(sandbox: Sandbox) -> None:
    item = """<item><title>A title</title><link>https://notes.example.com/a?x=1&amp;y=2</link>
      <guid isPermaLink="false">id-1</guid><dc:creator>Jane Roe</dc:creator><category>safety</category>
      <category>evals</category><pubDate>Sun, 01 Mar 2026 14:00:00 +0200</pubDate>
      <description>Short.</description>
      <content:encoded><![CDATA[<p>Long <b>text</b></p>]]></content:encoded></item>"""
    reading = read(sandbox, rss(item))
    assert (reading.title, reading.kind, reading.skipped) == ("The Venue", "feed", ())
    assert reading.entries == (
        sources.Entry(
            title="A title",
            url="https://notes.example.com/a?x=1&y=2",
            guid="id-1",
            authors=("Jane Roe",),
            published=dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
            categories=("safety", "evals"),
            content="<p>Long <b>text</b></p>",
            summary="Short.",
            is_abstract=False,
            source=SOURCE,
        ),
    )


def test_an_atom_entry_is_read_whole(sandbox: Sandbox) -> None:
    entry = """<entry><title type="html">A &lt;em&gt;fine&lt;/em&gt; &amp;amp; title</title><id>urn:1</id>
      <link rel="enclosure" href="https://notes.example.com/a.mp3"/><link href="/a"/>
      <author><name>Jane Roe</name><email>jane@example.com</email></author>
      <author><name>Rick Doe</name></author>
      <category term="evals" label="Evaluations"/>
      <updated>2026-03-01T12:00:00Z</updated><summary>1 &lt; 2</summary><content type="xhtml">
      <div xmlns="http://www.w3.org/1999/xhtml"><p>Long <b>text</b></p></div></content></entry>"""
    found = read(sandbox, atom(entry)).entries[0]
    assert (found.title, found.url, found.guid) == ("A fine & title", "https://notes.example.com/a", "urn:1")
    assert (found.authors, found.categories) == (("Jane Roe", "Rick Doe"), ("Evaluations",))
    assert found.published == dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    assert (found.content, found.summary) == ("<p>Long <b>text</b></p>", "<p>1 &lt; 2</p>")


@pytest.mark.parametrize(
    ("xml", "title"),
    [
        ("AT&amp;amp;T", "AT&T"),
        ("<![CDATA[A <em>b</em> &amp; c]]>", "A b & c"),
        ("List&lt;int&gt; and x &lt; y", "List<int> and x < y"),
        ("one\n   two\tthree", "one two three"),
        ("&#8220;quoted&#8221;", "\u201cquoted\u201d"),
        ("it\u0092s", "it\u2019s"),
        ("x" * 5_000, "x" * 1_000),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"),
    ],
)
def test_a_title_is_one_line_of_plain_text(sandbox: Sandbox, xml: str, title: str) -> None:
    assert read(sandbox, rss(f"<item><title>{xml}</title><link>/a</link></item>")).entries[0].title == title


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("/a", "https://notes.example.com/a"),
        ("a b.html", "https://notes.example.com/a%20b.html"),
        ("//other.example.com/a", "https://other.example.com/a"),
        ("HTTP://notes.example.com/a", "HTTP://notes.example.com/a"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("mailto:a@example.com", ""),
        ("file:///etc/passwd", ""),
        ("http://[bad", ""),
        ("https://notes.example.com/" + "a" * 5_000, ""),
    ],
)
def test_a_link_is_absolute_http_or_https_or_empty(sandbox: Sandbox, link: str, url: str) -> None:
    assert read(sandbox, rss(f"<item><title>T</title><link>{link}</link></item>")).entries[0].url == url


def test_a_guid_that_is_a_permalink_is_the_link(sandbox: Sandbox) -> None:
    item = "<item><title>T</title><guid>https://notes.example.com/g</guid></item>"
    assert read(sandbox, rss(item)).entries[0].url == "https://notes.example.com/g"


@pytest.mark.parametrize(
    ("xml", "authors"),
    [
        ("<dc:creator>A One, B Two and C Three</dc:creator>", ("A One", "B Two", "C Three")),
        ("<dc:creator>A One</dc:creator><dc:creator>B Two</dc:creator>", ("A One", "B Two")),
        ("<author>jane@example.com (Jane Roe)</author>", ("Jane Roe",)),
        ("<author>Jane Roe &lt;jane@example.com&gt;</author>", ("Jane Roe",)),
        ("<author>jane@example.com</author>", ()),
        ("<dc:creator>The Venue</dc:creator>", ()),
        ("<dc:creator>field notes</dc:creator>", ()),
        ("<dc:creator>Jane Roe, The Venue</dc:creator>", ("Jane Roe",)),
        ("<dc:creator>Jane Roe, jane roe</dc:creator>", ("Jane Roe",)),
        ("<dc:creator>O&amp;#39;Brien</dc:creator>", ("O'Brien",)),
        ("<dc:creator>" + "x" * 16_000 + "</dc:creator>", ()),
        ("", ()),
    ],
)
def test_authors_are_people_by_name(sandbox: Sandbox, xml: str, authors: tuple[str, ...]) -> None:
    assert read(sandbox, rss(f"<item><title>T</title>{xml}</item>")).entries[0].authors == authors


def test_an_atom_entry_without_author_has_the_feeds(sandbox: Sandbox) -> None:
    head = "<author><name>Jane Roe</name></author>"
    entry = "<entry><title>T</title><id>urn:1</id></entry>"
    assert read(sandbox, atom(entry, head=head)).entries[0].authors == ("Jane Roe",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Jane Roe", ["Jane Roe"]),
        ("Jane Roe, PhD", ["Jane Roe, PhD"]),
        ("Jane Roe, Jr., Rick Doe, and Ann Poe", ["Jane Roe, Jr.", "Rick Doe", "Ann Poe"]),
        ("Jane Roe and Rick Doe", ["Jane Roe", "Rick Doe"]),
        ("Jane Roe & Rick Doe", ["Jane Roe", "Rick Doe"]),
        ("Jane Roe; Rick Doe", ["Jane Roe", "Rick Doe"]),
        ("Roe, Jane; Doe, Rick", ["Roe, Jane", "Doe, Rick"]),
        ("by Jane Roe", ["Jane Roe"]),
        ("The Trust and Safety Team", ["The Trust and Safety Team"]),
        ("Cat and Mouse", ["Cat and Mouse"]),
        ("Jane Roe, Rick and Ann", ["Jane Roe", "Rick", "Ann"]),
        ("Alexander Andersson", ["Alexander Andersson"]),
        ("admin", []),
        ("noreply@example.com (Jane Roe)", ["Jane Roe"]),
        ("Jane Roe (Example Lab)", ["Jane Roe (Example Lab)"]),
        (" , ;; ", []),
    ],
)
def test_one_author_field_is_split_into_names(text: str, names: list[str]) -> None:
    assert split_authors(text) == names


@given(st.text())
def test_a_name_is_never_blank_and_never_padded(text: str) -> None:
    assert all(name and name == name.strip() and "\n" not in name for name in split_authors(text))


@pytest.mark.parametrize(
    ("date", "published"),
    [
        ("<pubDate>Sun, 01 Mar 2026 12:00:00 GMT</pubDate>", "2026-03-01T12:00:00+00:00"),
        ("<dc:date>2026-03-01T12:00:00+02:00</dc:date>", "2026-03-01T10:00:00+00:00"),
        ("<pubDate>soon</pubDate><dc:date>2026-03-01</dc:date>", "2026-03-01T00:00:00+00:00"),
        ("<pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate>", "1970-01-01T00:00:00+00:00"),
        ("<pubDate>Thu, 31 Dec 2099 23:00:00 GMT</pubDate>", "2099-12-31T23:00:00+00:00"),
        ("<pubDate>soon</pubDate>", None),
        ("<pubDate>Mon, 99 Foo 0000 99:99:99 +9999</pubDate>", None),
        ("<pubDate>" + "x9" * 5_000 + "</pubDate>", None),
        ("", None),
    ],
)
def test_a_date_is_utc_or_none(sandbox: Sandbox, date: str, published: str | None) -> None:
    found = read(sandbox, rss(f"<item><title>T</title>{date}</item>")).entries[0].published
    assert found == (dt.datetime.fromisoformat(published) if published else None)
    assert found is None or found.tzinfo is dt.UTC


def test_the_longest_content_is_taken(sandbox: Sandbox) -> None:
    contents = '<content type="html">short</content><content type="html">much longer</content>'
    found = read(sandbox, atom(f"<entry><title>T</title>{contents}</entry>"))
    assert found.entries[0].content == "much longer"


def test_content_is_not_cleaned_here(sandbox: Sandbox) -> None:
    html = "&lt;p onclick='x'&gt;a&lt;script&gt;b&lt;/script&gt;"
    item = f"<item><title>T</title><description>{html}</description></item>"
    assert "<script>b</script>" in read(sandbox, rss(item)).entries[0].summary


@pytest.mark.parametrize(
    ("content", "html"),
    [
        ("<content>1 &lt; 2 &amp; 3\n\nnext</content>", "<p>1 &lt; 2 &amp; 3</p><p>next</p>"),
        ("<content>&lt;p&gt;mislabelled&lt;/p&gt;</content>", "<p>mislabelled</p>"),
        ('<content type="image/png">aGVsbG8=</content>', ""),
        ('<content src="https://notes.example.com/a"/>', ""),
    ],
)
def test_atom_content_of_other_types_becomes_html_or_nothing(sandbox: Sandbox, content: str, html: str) -> None:
    assert read(sandbox, atom(f"<entry><title>T</title>{content}</entry>")).entries[0].content == html


# What is left out


def test_an_entry_without_title_and_link_is_left_out_with_a_note(sandbox: Sandbox) -> None:
    reading = read(sandbox, rss("<item><description>only this</description></item>", GOOD, "<item/>"))
    assert [entry.title for entry in reading.entries] == ["Good"]
    assert reading.skipped == ("2 entries without title and link left out",)


def test_an_entry_with_a_link_alone_is_kept(sandbox: Sandbox) -> None:
    assert read(sandbox, rss("<item><link>/a</link></item>")).entries[0].title == ""


def test_of_very_many_entries_the_newest_are_kept_in_order(sandbox: Sandbox) -> None:
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    count = MAX_ENTRIES + 20
    items = [
        f"<item><title>{n}</title><pubDate>{(first + dt.timedelta(hours=n)).isoformat()}</pubDate></item>"
        for n in range(count)
    ]
    reading = read(sandbox, rss(*items))
    assert [entry.title for entry in reading.entries] == [str(n) for n in range(20, count)]
    assert reading.skipped == (f"20 entries older than the newest {MAX_ENTRIES} left out",)


@pytest.mark.parametrize(
    "bad",
    [
        "<item><title>Bad &#99999999999; x</title></item>",
        "<item><title>Bad &#xD800; &#0; &#x110000; x</title></item>",
        "<item><title>Bad &nbsp; &undefined; &amp x</title></item>",
        "<item><title>Bad</title><link>http://[bad</link></item>",
        "<item><title>Bad</title><description>&lt;a href='http://[x'&gt;</description></item>",
        "<item><title>Bad</title><description><p>unclosed</description></item>",
        "<item><title>Bad\x01\x0b</title></item>",
        "<item><title>Bad</title><nobody:knows>x</nobody:knows></item>",
        "<item><title>Bad</title><pubDate>never</pubDate><enclosure url='x' length='q'/></item>",
        "<item><title>Bad</title><description><![CDATA[" + "<div>" * 5_000 + "]]></description></item>",
        "<item><title>Bad</title><description><![CDATA[<!DOCTYPE [<!foo>]><![if x]>]]></description></item>",
        "<item " + " ".join(f'a{n}="x"' for n in range(500)) + "><title>Bad</title></item>",
        "<item><title>Bad</title><image><title>x</title></image></item>",
    ],
)
def test_a_bad_entry_costs_no_good_one(sandbox: Sandbox, bad: str) -> None:
    titles = [entry.title for entry in read(sandbox, rss(GOOD, bad, GOOD.replace("good", "late"))).entries]
    assert titles[0] == titles[-1] == "Good" and len(titles) == 3 and titles[1].startswith("Bad")


def test_an_entry_that_feedparser_fails_on_costs_no_good_one(sandbox: Sandbox) -> None:
    bad = "<item><title>Bad</title><width><height>3</width></item>"
    reading = read(sandbox, rss(GOOD, bad, GOOD.replace("good", "late")))
    assert [entry.title for entry in reading.entries] == ["Good", "Good"]
    assert reading.title == "The Venue" and reading.skipped == ("1 entry that cannot be read left out",)


def test_a_feed_that_breaks_off_keeps_the_entries_before(sandbox: Sandbox) -> None:
    body = rss(GOOD, GOOD.replace("good", "late"), "<item><title>Cut").removesuffix(b"</channel></rss>")
    assert [entry.title for entry in read(sandbox, body).entries][:2] == ["Good", "Good"]


@pytest.mark.parametrize(
    ("encoding", "declared", "content_type"),
    [
        ("utf-8", "utf-8", "application/rss+xml"),
        ("utf-8-sig", "utf-8", "text/xml"),
        ("iso-8859-1", "iso-8859-1", "text/xml"),
        ("windows-1252", "windows-1252", "application/xml"),
        ("utf-16", "utf-16", "application/xml"),
        ("utf-8", "iso-8859-1", "text/xml; charset=utf-8"),
        ("iso-8859-1", "utf-8", "application/xml"),
        ("utf-8", "no-such-encoding", "application/xml"),
        ("utf-8", "utf-8", "text/xml; charset=no-such-encoding"),
        ("utf-8", "utf-8", "text/plain"),
    ],
)
def test_an_encoding_is_found_even_when_wrongly_declared(
    sandbox: Sandbox, encoding: str, declared: str, content_type: str
) -> None:
    text = rss("<item><title>caf\u00e9</title><link>/a</link></item>").decode().replace('"UTF-8"', f'"{declared}"', 1)
    assert read(sandbox, text.encode(encoding), content_type).entries[0].title == "caf\u00e9"


def test_entities_are_not_expanded_without_bound_and_files_are_not_read(sandbox: Sandbox) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    outside = '<!ENTITY file SYSTEM "file:///etc/passwd">]>'
    body = rss("<item><title>T &i; &file;</title></item>", GOOD).replace(b"?>", f"?>{bomb}{outside}".encode(), 1)
    reading = read(sandbox, body)
    assert reading.entries[-1].title == "Good" and len(reading.entries[0].title) < 200
    assert "root:" not in reading.entries[0].title


@pytest.mark.slow
def test_a_feed_made_to_be_slow_ends_at_the_limit() -> None:
    body = rss("<item><author>" + "a." * 300_000 + "</author></item>")
    with Sandbox(workers=1, cpu_seconds=1, wall_seconds=3) as sandbox:
        began = time.monotonic()
        with pytest.raises(SandboxError) as caught:
            read(sandbox, body)
        assert caught.value.reason == "time" and time.monotonic() - began < 6


def test_a_body_that_is_the_name_of_a_file_opens_no_file() -> None:
    assert feed.parse(__file__.encode())["refusal"] == "the answer is neither RSS nor Atom"


# What is no feed


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xff\xfe \0"])
def test_an_empty_answer_is_no_feed(sandbox: Sandbox, body: bytes) -> None:
    assert refusal(sandbox, body, "application/rss+xml") == "the answer is empty"


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>x</title>",
        b"<!-- <rss> --><html><body><rss>x</rss></body></html>",
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x"><html><p>x',
        "<!doctype HTML><html>x</html>".encode("utf-16"),
        b"<body>x</body>",
        b"<html><item><title>no feed</title><link>https://notes.example.com/</link></item></html>",
    ],
)
def test_a_web_page_is_no_feed(sandbox: Sandbox, body: bytes) -> None:
    assert refusal(sandbox, body, "application/rss+xml") == "the answer is a web page, not a feed"


def test_a_web_page_that_names_its_feed_is_told_with_it(sandbox: Sandbox) -> None:
    body = b'<html><link rel="alternate" type="application/rss+xml" href="/rss?a=1&amp;b=2"></html>'
    assert refusal(sandbox, body).endswith("the page names this feed: https://notes.example.com/rss?a=1&b=2")


def test_a_page_that_names_no_usable_feed_is_just_a_page(sandbox: Sandbox) -> None:
    links = b'<link type="application/rss+xml" href="javascript:x"><link type="application/atom+xml" href>'
    assert refusal(sandbox, b"<html>" + links).endswith("the answer is a web page, not a feed")


def test_a_login_page_is_called_one(sandbox: Sandbox) -> None:
    body = b'<html><form><input type="Password" name="p"></form></html>'
    assert refusal(sandbox, body) == "the answer is a login page, not a feed"


@pytest.mark.parametrize("body", [b'{"version": "https://jsonfeed.org/version/1.1"}', b"\n[1]"])
def test_json_is_no_feed(sandbox: Sandbox, body: bytes) -> None:
    assert refusal(sandbox, body, "application/json") == "the answer is JSON, which is neither RSS nor Atom"


@pytest.mark.parametrize(
    "body", [b"plain text", b"%PDF-1.7\n\xe2\xe3", b"\x00" * 50 + b"x", b"<svg/>", b"<opml version='2.0'/>"]
)
def test_other_things_are_no_feed(sandbox: Sandbox, body: bytes) -> None:
    assert refusal(sandbox, body) == "the answer is neither RSS nor Atom"


def test_a_feed_that_breaks_before_its_first_entry_is_an_error(sandbox: Sandbox) -> None:
    assert "damaged feed" in refusal(sandbox, rss()[:-30], "application/xml")


def test_a_whole_feed_without_entries_is_just_empty(sandbox: Sandbox) -> None:
    for body in (rss(), atom()):
        assert read(sandbox, body).entries == ()


# Laws


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=5))
def test_plain_titles_come_back_as_they_were(titles: list[str]) -> None:
    entries = [
        f'<entry><title>{escape(title)}</title><id>urn:{n}</id><link href="/{n}"/></entry>'
        for n, title in enumerate(titles)
    ]
    parsed = feed.parse(atom(*entries), "application/atom+xml", SOURCE.url)
    assert [entry["title"] for entry in parsed["entries"]] == titles


CP1252 = {
    0x80 + n: char for n, char in enumerate(bytes(range(0x80, 0xA0)).decode("cp1252", "replace")) if char != "\ufffd"
}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: rss(text)), st.text(max_size=30))
def test_no_bytes_make_the_parser_raise(body: bytes, content_type: str) -> None:
    parsed = feed.parse(body, content_type, SOURCE.url)
    assert parsed["refusal"] or isinstance(parsed["entries"], list)


SCRAPS = re.findall(
    r"\S+",
    """<item> </item> <title> </title> <link> <![CDATA[ ]]> &# &#x 9999999 ; &lt; <p > =" <!-- <? </rss>
    http://[ <dc:creator> <guid> <entry> <source> <content:encoded> \x00 \ud800 \u00e9 <svg> <math> <x:y
    base64 <category />""",
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(SCRAPS), max_size=25))
def test_no_broken_markup_makes_the_parser_raise(scraps: list[str]) -> None:
    parsed = feed.parse(rss(" ".join(scraps), GOOD), "text/xml", SOURCE.url)
    assert parsed["refusal"] or isinstance(parsed["entries"], list)


@pytest.mark.parametrize(
    "bad",
    [
        "<item><title>Never closed</item>",
        "<item><title><![CDATA[Never closed</title></item>",
        "<!-- never closed",
    ],
)
def test_what_is_never_closed_costs_no_entry_after_it(sandbox: Sandbox, bad: str) -> None:
    titles = [entry.title for entry in read(sandbox, rss(GOOD, bad, GOOD.replace("good", "late"))).entries]
    assert titles[0] == titles[-1] == "Good" and len(titles) in (2, 3)


def test_an_entry_in_a_comment_of_a_broken_feed_is_none(sandbox: Sandbox) -> None:
    body = rss("<b>", GOOD, "<!-- <item><title>Old</title></item> -->", GOOD.replace("good", "late"))
    assert [entry.title for entry in read(sandbox, body).entries] == ["Good", "Good"]


def test_of_thousands_of_entries_both_ends_are_read(sandbox: Sandbox) -> None:
    first = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    items = [
        f"<item><title>{n}</title><pubDate>{(first + dt.timedelta(hours=n)).isoformat()}</pubDate></item>"
        for n in range(5_000)
    ]
    for ordered in (items, items[::-1]):
        reading = read(sandbox, rss(*ordered))
        assert {entry.title for entry in reading.entries} == {str(n) for n in range(4_500, 5_000)}
        assert reading.skipped[0] == "3000 entries in the middle, of 5000 in all, left out"


def test_one_bad_byte_does_not_spoil_the_other_letters(sandbox: Sandbox) -> None:
    good = "Ångström, naïve and café, à la carte"
    body = rss(f"<item><title>{good}</title></item>", "<item><title>Bad @</title></item>")
    titles = [entry.title for entry in read(sandbox, body.replace(b"@", b"\xff")).entries]
    assert titles == [good, "Bad \N{REPLACEMENT CHARACTER}"]


def test_far_too_many_attributes_cost_an_entry_only_these(sandbox: Sandbox) -> None:
    attributes = " ".join(f"a{n}='1'" for n in range(100_000))
    titles = [entry.title for entry in read(sandbox, rss(GOOD, f"<item {attributes}><title>B</title></item>")).entries]
    assert titles == ["Good", "B"]


def test_a_feed_with_the_doctype_of_a_web_page_is_a_feed(sandbox: Sandbox) -> None:
    assert read(sandbox, b"<!DOCTYPE html>" + rss(GOOD).partition(b"?>")[2]).entries[0].title == "Good"
