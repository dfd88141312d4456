"""The archive: all that is out and nothing else, harmless whatever pieces say, corrected in plain sight."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import itertools
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import feedparser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree, html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from newsletter import issues
from newsletter.config import Config
from newsletter.issues import IssueError
from newsletter.store import Store, open_store
from newsletter.values import Claim, Edition, Section, SectionShape, Summary, SummaryKind
from newsletter.web import application
from newsletter.web.archive import FEED, PAGE, Query, read_query, whole_number
from tests.newsletter.makers import DAY, summary
from tests.newsletter.web.conftest import LATER, Browser, House, entry, press_for

BASE = "https://newsletter.example.com"
PATHS = ("/", "/issues", "/issues/1", "/topics", "/topics/safety", "/issues?q=finding", "/nowhere")
ATOM = {"a": "http://www.w3.org/2005/Atom"}
HOSTILE = (
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>' autofocus onfocus=alert(1) x='",
    "{{ masthead }} {% raw %} {n} {query}",
    "]]><!-- & &amp; -->",
    "javascript:alert(1)",
    "مرحبا بالعالم",
    "w" * 400,
)


def said(*sentences: str, quote: str = "a verbatim quote") -> Summary:
    """A summary whose opening is these sentences."""
    claims = tuple(Claim(sentence, (quote,)) for sentence in sentences)
    return Summary(SummaryKind.DIGEST, (Section("summary", "", SectionShape.PROSE, (claims,)),), "claude", "model-1")


def whole(title: str = "A whole piece of four sections") -> Any:
    """A piece with every section there is."""
    extra = (
        Section("why_it_matters", "Why it matters", SectionShape.PROSE, ((Claim("It matters."),),)),
        Section("build", "What you can build with this", SectionShape.PROSE, ((Claim("Build it."),),), True),
    )
    body = summary()
    return entry(title=title, summary=replace(body, sections=(*body.sections, *extra)))


# What is public


def test_an_issue_is_public_from_its_freeze_and_not_before(house: House, browser: Browser) -> None:
    number = house.write()
    assert "There is no such page" in html.tostring(browser.page(f"/issues/{number}", 404)).decode()
    assert "No issue is out yet." in browser.text("/")
    with house.store.write() as session:
        issues.publish(session, number, DAY)
    assert "29 May 2026" in browser.text(f"/issues/{number}")


def test_a_rejected_draft_is_not_public(house: House, browser: Browser) -> None:
    number = house.write()
    with house.store.write() as session:
        issues.reject(session, number, DAY)
    browser.page(f"/issues/{number}", 404)
    assert str(number) not in browser.client.get("/sitemap.xml").text.split("/issues/")


@pytest.mark.parametrize(
    "number",
    [
        "2",
        "0",
        "-1",
        "01",
        "1.0",
        "x",
        "1%00",
        "9" * 30,
        "9" * 5000,
        "\N{FULLWIDTH DIGIT ONE}",
        "1/",
        "%2e%2e/1",
    ],
)
def test_what_is_no_number_of_a_public_issue_is_a_calm_page_that_is_not_found(
    house: House, browser: Browser, number: str
) -> None:
    house.publish()
    page = browser.page(f"/issues/{number}", 404)
    assert page.xpath("//h1")[0].text == "There is no such page"
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]


def test_the_archive_needs_a_database_that_it_may_only_read(house: House, store: Store) -> None:
    house.publish()
    reader = open_store(store.url, read_only=True)
    client = TestClient(application(press_for(reader, Config())))
    assert all(client.get(path).status_code in (200, 404) for path in (*PATHS, "/feed.xml", "/readyz"))
    reader.close()


# The issue's page


def test_an_issue_says_everything_that_its_mail_says(house: House, browser: Browser) -> None:
    number = house.publish(whole(), entry(summary=said("We measured it.")))
    text = browser.text(f"/issues/{number}")
    with house.store.read() as session:
        issue = issues.load(session, number)
    layout = house.press.renderer.layout(Edition(issue, issue.pieces))
    shown = [layout.issue.wordmark, layout.issue.rest, layout.issue.count, layout.issue.minutes]
    shown += [layout.issue.notice, layout.issue.end, *layout.issue.origins, *layout.issue.topics]
    for piece in layout.pieces:
        shown += [piece.title, *piece.facts, *piece.topics, piece.read, piece.length]
        for section in piece.sections:
            shown += [section.heading, *section.texts]
    assert [part for part in shown if " ".join(part.split()) not in text] == []
    assert "Our suggestion: What you can build with this" in text


def test_contents_lead_to_the_places_that_the_mail_names(house: House, browser: Browser) -> None:
    number = house.publish()
    page = browser.page(f"/issues/{number}")
    with house.store.read() as session:
        issue = issues.load(session, number)
    edition = Edition(issue, issue.pieces[1:])
    named = [urlsplit(piece.here).fragment for piece in house.press.renderer.layout(edition).pieces]
    assert named == ["piece-2", "piece-3"]
    contents = page.xpath("//nav[@aria-labelledby='contents']//a/@href")
    assert contents == ["#piece-1", "#piece-2", "#piece-3"]
    for entry_, link in zip(issue.pieces, contents, strict=True):
        (section,) = page.xpath(f"//*[@id='{link[1:]}']")
        assert entry_.piece.title in section.xpath("string(.//h2)")
        assert entry_.piece.url in section.xpath(".//@href")


def test_an_issue_leads_back_and_to_the_issues_before_and_after(house: House, browser: Browser) -> None:
    numbers = [house.publish() for _ in range(3)]
    house.write()
    pages = [browser.page(f"/issues/{number}") for number in numbers]
    assert [page.xpath("//main//a[@rel='prev']/@href") for page in pages] == [
        [],
        ["/issues/1"],
        ["/issues/2"],
    ]
    assert [page.xpath("//main//a[@rel='next']/@href") for page in pages] == [
        ["/issues/2"],
        ["/issues/3"],
        [],
    ]
    assert all("/issues" in page.xpath("//main//a/@href")[:1] for page in pages)


def test_an_excerpt_is_marked_as_one(house: House, browser: Browser) -> None:
    number = house.publish(entry(summary=replace(said("The author's own."), kind=SummaryKind.EXCERPTS, model="")))
    assert "Excerpts: the author's own sentences, chosen automatically." in browser.text(f"/issues/{number}")


def test_an_issue_can_be_shown_where_only_its_address_is(house: House, browser: Browser) -> None:
    number = house.publish(entry(title="A title that is worth it"))
    page = browser.page(f"/issues/{number}")
    graph = {meta.get("property"): meta.get("content") for meta in page.xpath("//meta[@property]")}
    assert graph["og:title"] == "AI Research Digest — 29 May 2026"
    assert graph["og:url"] == f"{BASE}/issues/{number}"
    assert graph["og:description"] == "1 min read: A title that is worth it"
    assert page.xpath("//link[@rel='canonical']/@href") == [f"{BASE}/issues/{number}"]


# Every page


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_one_title_landmarks_and_headings_in_order(house: House, browser: Browser, path: str) -> None:
    house.publish(whole())
    page = browser.page(path, 404 if path == "/nowhere" else 200)
    assert page.get("lang") == "en"
    assert [len(page.xpath(found)) for found in ("//title", "//h1", "//main", "//header[@class='site']")] == [1] * 4
    levels = [int(heading.tag[1]) for heading in page.xpath("//*[self::h1 or self::h2 or self::h3]")]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    (skip,) = page.xpath("//body/a[@class='skip']/@href")
    assert page.xpath(f"//main[@id='{skip[1:]}']")
    names = [nav.get("aria-label") or nav.get("aria-labelledby") for nav in page.xpath("//nav")]
    assert all(names) and len(set(names)) == len(names)
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_runs_nothing_loads_nothing_from_elsewhere_and_sets_no_cookie(
    house: House, browser: Browser, path: str
) -> None:
    house.publish()
    answer = browser.client.get(path)
    page = html.document_fromstring(answer.text)
    assert page.xpath("//script | //img | //iframe | //object | //@style | //@*[starts-with(name(), 'on')]") == []
    loaded = page.xpath("//link[@rel='icon' or @rel='stylesheet']/@href")
    assert loaded == ["/mark.svg"] and not re.search(r"url\(|@import", page.xpath("string(//style)"))
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", [*PATHS, "/feed.xml", "/sitemap.xml", "/robots.txt", "/mark.svg", "/healthz"])
def test_every_answer_carries_a_policy_that_allows_our_style_sheet_alone(
    house: House, browser: Browser, path: str
) -> None:
    house.publish()
    answer = browser.client.get(path)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == policy["img-src"] == "'self'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"].startswith("text/html"):
        (sheet,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
        assert policy["style-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize("path", [*PATHS, "/feed.xml", "/sitemap.xml", "/robots.txt", "/healthz", "/readyz"])
def test_head_answers_as_get_does_and_other_methods_are_refused(house: House, browser: Browser, path: str) -> None:
    house.publish()
    got, head = browser.client.get(path), browser.client.head(path)
    assert (head.status_code, dict(head.headers)) == (got.status_code, dict(got.headers))
    if got.status_code == 200:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            refused = browser.client.request(method, path)
            assert refused.status_code == 405 and "GET" in refused.headers["allow"]
            assert "content-security-policy" in refused.headers


@pytest.mark.slow
@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(house: House, browser: Browser, words: str) -> None:
    number = house.publish(
        entry(
            title=f"Title {words}",
            url="javascript:alert(1)",
            authors=(f"Author {words}",),
            summary=said(f"Sentence {words}"),
        ),
        entry(),
    )
    house.correct(number, 1, f"Note {words}")
    for path in (f"/issues/{number}", "/", f"/issues?q={quote(words)}", "/topics/safety"):
        page = browser.page(path)
        assert page.xpath("//script | //img | //svg | //@*[starts-with(name(), 'on')] | //@autofocus") == []
        links = {urlsplit(urljoin(BASE, link)).scheme for link in page.xpath("//@href | //@action | //@src")}
        assert links <= {"http", "https"}
        assert len(page.xpath("//main")) == 1
    text = browser.text(f"/issues/{number}")
    for part in ("Title", "Author", "Sentence", "Note"):
        assert " ".join(f"{part} {words}".split()) in text
    feed = feedparser.parse(browser.client.get("/feed.xml").content)
    assert not feed.bozo and "javascript" not in " ".join(link.href for link in feed.entries[0].links)


def test_an_address_below_a_path_works_whether_or_not_a_proxy_strips_it(house: House) -> None:
    house.publish()
    browser = house.browse(base_url="https://example.com/news/")
    for path in ("/issues/1", "/news/issues/1", "/news/", "/news/topics/safety"):
        page = browser.page(path)
        local = [link for link in page.xpath("//@href | //@action") if link.startswith("/")]
        assert local and all(link.startswith("/news/") for link in local)
    assert browser.page("/issues/1").xpath("//link[@rel='canonical']/@href") == ["https://example.com/news/issues/1"]
    assert browser.client.get("/news/feed.xml").status_code == 200


# Lists and search


def walk(browser: Browser, path: str) -> list[str]:
    """The addresses of all issues and pieces that a list shows, from its first page to its last."""
    found: list[str] = []
    here = path
    for _ in range(20):
        page = browser.page(here)
        found += page.xpath("//main//ul[contains(@class, 'lines')]//a/@href")
        older = page.xpath("//main//a[@rel='next']/@href")
        if not older:
            return found
        here = urljoin(here, older[0])
    raise AssertionError("the pages go round in a circle")


def test_every_issue_is_on_one_page_of_the_archive_newest_first(house: House, browser: Browser) -> None:
    numbers = [house.publish(entry()) for _ in range(PAGE + 2)]
    assert walk(browser, "/") == [f"/issues/{number}" for number in reversed(numbers)]


def test_every_piece_of_a_topic_or_search_is_on_one_of_its_pages(house: House, browser: Browser) -> None:
    for number in range(2 * PAGE + 1):
        house.publish(entry(topics=("safety",) if number % 2 else ("training",), title=f"Odd piece {number}"))
    expected = [
        link for number in range(2 * PAGE, 0, -2) for link in (f"/issues/{number}", f"/issues/{number}#piece-1")
    ]
    assert walk(browser, "/topics/safety") == expected
    assert len(walk(browser, "/issues?q=odd+PIECE")) == 2 * (2 * PAGE + 1)


def test_issues_stand_under_their_months(house: House, browser: Browser) -> None:
    for day in ((2025, 12, 31), (2026, 1, 1), (2026, 1, 31)):
        house.publish(entry(), date=dt.date(*day))
    page = browser.page("/")
    months = {section.xpath("string(h2)"): section.xpath(".//h3/a/text()") for section in page.xpath("//main/section")}
    assert months == {
        "January 2026": ["31 January 2026", "1 January 2026"],
        "December 2025": ["31 December 2025"],
    }


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("backdoors", True),
        ("BACKDOORS", True),
        ("“backdoors”,", True),
        ("back door", True),
        ("probe backdoors", True),
        ("probe nothing", False),
        ("naïve", True),
        ("NAÏVE", True),
        ("naive", False),
        ("émile", True),
        ("fine-tuning", True),
        ("Forum", True),
        ("29 May", True),
        ("100%", True),
        ("1%0", False),
        ("back_oors", False),
        ("tokenizer", False),
        ("prose", False),
        ("完全", True),
    ],
)
def test_search_finds_words_that_readers_see_and_no_others(
    house: House, browser: Browser, query: str, is_found: bool
) -> None:
    found = said("A naïve probe sees 100% of them after fine-tuning.", "完全な要約。", quote="the tokenizer says")
    house.publish(entry(title="Looking for backdoors", authors=("Émile Example",), summary=found))
    house.publish(entry())
    links = walk(browser, f"/issues?q={quote(query)}")
    assert ("/issues/1#piece-1" in links) is is_found


def test_a_search_shows_what_was_asked_and_what_helps_when_nothing_is_found(house: House, browser: Browser) -> None:
    house.publish()
    page = browser.page("/issues?q=no+such+word")
    assert page.xpath("//input[@name='q']/@value") == ["no such word"]
    assert "Nothing with “no such word” was found." in browser.text("/issues?q=no+such+word")
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex, follow"]
    assert "Nothing" not in browser.text("/issues?q=%22+...")


@given(text=st.text(max_size=300), before=st.text(max_size=12))
@example(text="\x00\ud800 %_\\", before="9" * 40)
def test_any_query_is_read_as_words_and_a_number(text: str, before: str) -> None:
    query = read_query(text, before)
    assert len(query.text) <= 200 and len(query.words) <= 8
    assert all(word and word == word.strip() for word in query.words)
    assert bool(query.text) == bool(query.words)
    assert query.before == whole_number(before)
    assert read_query(query.text, "") == Query(query.text, query.words)


def test_a_topic_counts_its_pieces_of_the_last_thirty_days(house: House, browser: Browser) -> None:
    house.publish(entry(topics=("safety", "training")), entry(topics=("safety",)))
    house.write(entry(topics=("safety",)))
    with house.store.read() as session:
        assert issues.topic_counts(session, DAY + issues.LATELY) == {"safety": 2, "training": 1}
        assert issues.topic_counts(session, DAY + issues.LATELY + dt.timedelta(seconds=1)) == {}
    assert "Keeping systems within what people want. 2 pieces in the last 30 days" in browser.text("/topics")
    browser.page("/topics/unknown", 404)


# Corrections


def test_a_note_stands_with_its_piece_on_the_page_and_in_the_feed(house: House, browser: Browser) -> None:
    number = house.publish()
    house.correct(number, 2, "  The figure was\n12, not 21. ")
    page = browser.page(f"/issues/{number}")
    line = "Correction of 1 June 2026: The figure was 12, not 21."
    assert line in " ".join(page.xpath("string(//*[@id='piece-2'])").split())
    assert page.xpath("//*[@id='piece-2']//ul/li")
    assert "This issue was corrected after it came out" in browser.text(f"/issues/{number}")
    (content,) = feedparser.parse(browser.client.get("/feed.xml").content).entries[0].content
    assert line in html.fromstring(content.value).text_content()


def test_a_withdrawn_piece_keeps_its_place_and_title_and_nothing_else(house: House, browser: Browser) -> None:
    gone = entry(
        title="A piece to withdraw",
        authors=("Wilma Withdrawn",),
        topics=("theory",),
        summary=said("Unique sentence."),
    )
    number = house.publish(entry(), gone, entry())
    house.correct(number, 2, "The author asked for it.", withdrawn=True)
    page = browser.page(f"/issues/{number}")
    (section,) = page.xpath("//*[@id='piece-2']")
    text = " ".join(section.text_content().split())
    assert text == "2. A piece to withdraw Withdrawn on 1 June 2026. The author asked for it."
    assert section.xpath("string(.//s)") == "A piece to withdraw" and section.xpath(".//a") == []
    assert page.xpath("//*[@id='piece-3']//ul/li")
    for path in (f"/issues/{number}", "/", "/feed.xml", "/topics/theory", "/issues?q=unique"):
        answer = browser.client.get(path).text
        assert "Unique sentence" not in answer and "Wilma" not in answer and gone.piece.url not in answer
    assert "A piece to withdraw" in browser.client.get("/feed.xml").text
    assert "A piece to withdraw" not in browser.text("/") + browser.text("/topics/theory")
    assert walk(browser, "/issues?q=withdraw") == []
    with house.store.read() as session:
        assert issues.topic_counts(session, DAY)["theory"] == 0


def test_an_issue_without_a_piece_left_is_still_there(house: House, browser: Browser) -> None:
    number = house.publish(entry(), entry())
    for position in (1, 2):
        house.correct(number, position, withdrawn=True)
    assert walk(browser, "/") == [f"/issues/{number}"]
    assert browser.text(f"/issues/{number}").count("Withdrawn on 1 June 2026.") == 2
    assert browser.client.get("/feed.xml").status_code == 200


def test_what_cannot_be_corrected_is_refused_and_says_why(house: House) -> None:
    draft, number = house.write(), house.publish(entry())
    for issue, piece, note, withdrawn, reason in (
        (draft, 1, "x", False, "draft"),
        (99, 1, "x", False, "no issue 99"),
        (number, 1, "x", False, "piece 1 is not in issue"),
        (number, 4, " \n", False, "needs a text"),
    ):
        with pytest.raises(IssueError, match=reason), house.store.write() as session:
            issues.correct(session, issue, piece, note, withdrawn, LATER)
    house.correct(number, 1, withdrawn=True)
    with pytest.raises(IssueError, match="withdrawn already"):
        house.correct(number, 1, withdrawn=True)
    house.correct(number, 1, "And why.")
    with house.store.read() as session:
        public = issues.public(session, number)
    assert public is not None and [correction.note for correction in public.corrections] == ["", "And why."]


def test_a_title_is_told_only_while_its_piece_is_out(house: House) -> None:
    draft, number = house.write(entry()), house.publish(entry(title="Out"), entry())
    house.correct(number, 2, withdrawn=True)
    with house.store.read() as session:
        asked = [(draft, 1), (number, 1), (number, 2), (number, 3), (number, 0), (99, 1)]
        told = [issues.public_piece(session, *which) for which in asked]
        assert [entry and entry.piece.title for entry in told] == [None, "Out", None, None, None, None]
        latest = issues.latest(session)
    assert latest is not None and (latest.number, latest.updated) == (number, LATER)


def test_a_slash_at_the_end_is_no_page_and_sends_nobody_to_a_claimed_host(house: House) -> None:
    press = press_for(house.store, Config.model_validate({"web": {"base_url": f"{BASE}/digest"}}))
    client = TestClient(application(press), base_url="https://evil.example.net", follow_redirects=False)
    for path in ("/issues/", "/digest/issues/", "/digest/subscribe/?x=%80"):
        answer = client.get(path)
        assert (answer.status_code, "location" in answer.headers) == (404, False)


# The feed, the sitemap, and what clients hold already


def test_a_topic_whose_name_holds_what_xml_may_not_leaves_the_feed_readable(house: House) -> None:
    topics = ({"key": "safety", "name": "Safe\x1bty\x00", "description": "\x08"},)
    house.publish(entry(topics=("safety",)))
    press = press_for(house.store, Config.model_validate({"topics": topics}))
    feed = TestClient(application(press)).get("/feed.xml")
    (category,) = etree.fromstring(feed.content).iter("{http://www.w3.org/2005/Atom}category")
    assert category.get("label") == "Safety"


def test_the_feed_is_atom_with_the_newest_issues(house: House, browser: Browser) -> None:
    numbers = [house.publish(whole()) for _ in range(FEED + 1)]
    answer = browser.client.get("/feed.xml")
    assert answer.headers["content-type"] == "application/atom+xml"
    feed = etree.fromstring(answer.content)
    assert feed.tag == f"{{{ATOM['a']}}}feed"
    for holder in (feed, *feed.findall("a:entry", ATOM)):
        for needed in ("a:id", "a:title", "a:updated"):
            assert len(holder.findall(needed, ATOM)) == 1
    assert feed.find("a:author/a:name", ATOM) is not None
    (own,) = feed.xpath("a:link[@rel='self']/@href", namespaces=ATOM)
    assert own == f"{BASE}/feed.xml"
    links = feed.xpath("a:entry/a:link[@rel='alternate']/@href", namespaces=ATOM)
    assert links == [f"{BASE}/issues/{number}" for number in reversed(numbers[1:])]
    names = feed.xpath("a:entry/a:id/text()", namespaces=ATOM)
    assert len(set(names)) == FEED and all(name.startswith("urn:uuid:") for name in names)
    assert feed.xpath("a:entry[1]/a:category/@label", namespaces=ATOM) == ["Safety"]
    parsed = feedparser.parse(answer.content)
    assert not parsed.bozo and parsed.version == "atom10"
    assert "What you can build with this" in parsed.entries[0].content[0].value


def test_an_issue_keeps_its_name_in_the_feed_when_the_pages_move_or_it_is_corrected(
    house: House, browser: Browser
) -> None:
    number = house.publish()
    before = feedparser.parse(browser.client.get("/feed.xml").content)
    house.correct(number, 1, "A note.")
    after = feedparser.parse(house.browse(base_url="https://example.org").client.get("/feed.xml").content)
    assert after.entries[0].id == before.entries[0].id
    assert after.entries[0].published == before.entries[0].published == "2026-05-29T07:00:00Z"
    assert (before.feed.updated, after.feed.updated) == ("2026-05-29T07:00:00Z", "2026-06-01T07:00:00Z")
    assert after.entries[0].updated == after.feed.updated


def test_a_feed_without_an_issue_is_still_one(browser: Browser) -> None:
    feed = feedparser.parse(browser.client.get("/feed.xml").content)
    assert not feed.bozo and feed.entries == [] and feed.feed.updated == "1970-01-01T00:00:00Z"


def test_the_sitemap_has_what_is_public_and_robots_name_it(house: House, browser: Browser) -> None:
    number = house.publish()
    house.write()
    house.correct(number, 1, "A note.")
    found = etree.fromstring(browser.client.get("/sitemap.xml").content)
    listed = {url[0].text: [child.text for child in url[1:]] for url in found}
    assert listed.pop(f"{BASE}/issues/{number}") == ["2026-06-01T07:00:00Z"]
    assert set(listed) >= {f"{BASE}/issues", f"{BASE}/topics", f"{BASE}/topics/safety"}
    assert f"{BASE}/issues/2" not in listed
    for address in listed:
        browser.page(urlsplit(str(address)).path)
    assert f"Sitemap: {BASE}/sitemap.xml" in browser.client.get("/robots.txt").text


@pytest.mark.parametrize("path", ["/issues/1", "/feed.xml"])
def test_who_has_a_page_already_is_told_so_until_it_changes(house: House, browser: Browser, path: str) -> None:
    house.publish()
    first = browser.client.get(path)
    conditions = (
        {"if-none-match": first.headers["etag"]},
        {"if-none-match": f'"other", W/{first.headers["etag"]}'},
        {"if-modified-since": first.headers["last-modified"]},
    )
    for condition in conditions:
        answer = browser.client.get(path, headers=condition)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == first.headers["etag"]
        same = "content-security-policy"
        assert answer.headers[same] == first.headers[same]
    house.correct(1, 1, "A note.")
    assert [browser.client.get(path, headers=condition).status_code for condition in conditions] == [200] * 3


def test_an_issue_changes_when_the_one_after_it_comes_out(house: House, browser: Browser) -> None:
    house.publish()
    held = {"if-modified-since": browser.client.get("/issues/1").headers["last-modified"]}
    house.publish()
    assert browser.client.get("/issues/1", headers=held).status_code == 200


# The application


def test_a_database_out_of_reach_is_said_calmly(house: House, browser: Browser) -> None:
    assert browser.client.get("/readyz").text == "ok\n"
    with house.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE issue RENAME TO elsewhere")
    answer = browser.client.get("/issues")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "This page cannot be shown just now" in answer.text and "elsewhere" not in answer.text
    assert browser.client.get("/readyz").status_code == 503
    assert browser.client.get("/healthz").status_code == 200


def test_more_routes_come_first_and_their_faults_show_nothing(house: House) -> None:
    def own(request: Request) -> Response:
        return Response("own", headers={"Referrer-Policy": "same-origin"})

    def fault(request: Request) -> Response:
        raise ValueError("a secret")

    app = application(house.press, [Route("/topics", own), Route("/fault", fault)])
    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/topics").text == "own"
    assert client.get("/topics").headers["referrer-policy"] == "same-origin"
    answer = client.get("/fault")
    assert answer.status_code == 500 and "a secret" not in answer.text
    assert "content-security-policy" in answer.headers


def test_the_words_behind_each_claim_stand_folded_under_it_and_nowhere_under_a_suggestion(
    house: House, browser: Browser
) -> None:
    claims = ((Claim("It fell to a third.", ("fell from 9 to 3", "<b>a third</b>")), Claim("So look twice.")),)
    ours = ((Claim("Build it.", ("never shown",)),),)
    sections = (
        Section("summary", "", SectionShape.PROSE, claims),
        Section("build", "What you can build with this", SectionShape.PROSE, ours, True),
    )
    number = house.publish(entry(summary=summary(sections=sections)), entry(title="Second"), entry())
    page = browser.page(f"/issues/{number}")
    (folded,) = page.xpath("//section[@id='piece-1']//details")
    assert folded.get("open") is None
    assert folded.xpath("string(summary)") == "The piece's own words behind this sentence"
    assert folded.xpath("p/text()") == ["It fell to a third."]
    assert folded.xpath("blockquote/text()") == ["fell from 9 to 3", "<b>a third</b>"]
    assert "never shown" not in browser.text(f"/issues/{number}")
    assert "fell from 9 to 3" not in browser.client.get("/feed.xml").text
    house.correct(number, 1, "Wrong.", withdrawn=True)
    assert "fell from 9 to 3" not in browser.client.get(f"/issues/{number}").text


def test_excerpts_are_the_authors_words_and_have_none_folded_under_them(house: House, browser: Browser) -> None:
    number = house.publish(entry(summary=replace(said("Words of the author."), kind=SummaryKind.EXCERPTS)))
    assert browser.page(f"/issues/{number}").xpath("//details") == []
