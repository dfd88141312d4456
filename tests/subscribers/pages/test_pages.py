"""What holds for every page for readers: who may open it, what it carries, and how it is built."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import html
from starlette.testclient import TestClient

from newsletter.config import Config
from newsletter.web import application
from subscribers import Purpose, Tokens
from tests.subscribers.pages.conftest import Site

TOKEN_OF = {"u": Purpose.UNSUBSCRIBE, "n": Purpose.UNDO, "p": Purpose.PREFERENCES}
ACTS = {"leave": "yes", "undo": "yes", "save": "yes", "instead": "weekly", "List-Unsubscribe": "One-Click"}


def erased(site: Site) -> str:
    """The link of a reader who is no longer there."""
    reader = site.reader()
    site.erase(reader)
    return site.unsubscribe(reader)


def undone(site: Site) -> str:
    """The link of an undo that was used."""
    path = site.leave(site.reader())
    site.client.post(path, data={"undo": "yes"})
    return path


def left(site: Site) -> str:
    """The link in the mail of a reader who has left."""
    reader = site.reader()
    site.leave(reader)
    return site.unsubscribe(reader)


STATES: dict[str, Callable[[Site], str]] = {
    "leaving": lambda site: site.unsubscribe(site.reader()),
    "left": left,
    "undo": lambda site: site.leave(site.reader()),
    "undone": undone,
    "preferences": lambda site: site.preferences(site.reader()),
    "nothing left": lambda site: site.preferences(site.reader(topics=frozenset({"gone"}))),
    "paused": lambda site: site.preferences(site.reader(paused_until=site.now + dt.timedelta(days=9))),
    "erased": erased,
    "forged": lambda site: "/p/forged",
}


@pytest.mark.parametrize("state", STATES)
def test_every_page_is_built_for_everyone(state: str, site: Site) -> None:
    answer = site.client.get(STATES[state](site))
    page = html.document_fromstring(answer.text)
    assert page.get("lang") == "en" and page.xpath("//title")[0].text
    assert len(page.xpath("//h1")) == 1 and len(page.xpath("//main")) == 1
    assert page.xpath("//meta[@name='viewport']") and page.xpath("//meta[@name='robots'][@content='noindex']")
    assert not page.xpath("//script | //*[@style] | //img")
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    for control in page.xpath("//input"):
        assert page.xpath("//label[@for=$name]", name=control.get("id")), control.get("id")
    assert all(group.xpath("legend") for group in page.xpath("//fieldset"))
    assert all(form.get("method") == "post" and form.xpath(".//button") for form in page.xpath("//form"))


@pytest.mark.parametrize("state", STATES)
def test_every_answer_keeps_the_token_between_reader_and_server(state: str, site: Site) -> None:
    path = STATES[state](site)
    for answer in (site.client.get(path), site.client.head(path), site.client.post(path, content=b"x" * 20_000)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "set-cookie" not in answer.headers and "location" not in answer.headers
        assert "example.com" not in str(answer.url)


@pytest.mark.parametrize("opened", TOKEN_OF)
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_token_of_another_purpose_opens_nothing(opened: str, purpose: Purpose, site: Site) -> None:
    if purpose is TOKEN_OF[opened]:
        return
    reader = site.reader()
    stamped = {Purpose.CONFIRM, Purpose.UNDO, Purpose.ADDRESS, Purpose.DATA}
    token = site.tokens.sign(purpose, reader, 1, now=site.now if purpose in stamped else None)
    before = site.dump()
    assert site.client.get(f"/{opened}/{token}").status_code == 404
    assert site.client.post(f"/{opened}/{token}", data=ACTS).status_code == 404
    assert site.dump() == before


@pytest.mark.parametrize("path", ["u", "n", "p"])
@pytest.mark.parametrize(
    "token", ["x", "u.1.1.AAAAAAAAAAAAAAAAAAAAAA", "u." + "1" * 400, "%00", "%3Cscript%3E", "u.1.ü"]
)
def test_a_forged_link_gets_a_calm_page(path: str, token: str, site: Site) -> None:
    site.reader()
    before = site.dump()
    for answer in (site.client.get(f"/{path}/{token}"), site.client.post(f"/{path}/{token}", data=ACTS)):
        assert answer.status_code == 404
        assert "This link opens nothing" in answer.text and "script" not in answer.text
    assert site.dump() == before


def test_a_link_without_a_reader_opens_nothing(site: Site) -> None:
    for values in ((), ("word",), ("word", 1)):
        assert site.client.get(f"/u/{site.tokens.sign(Purpose.UNSUBSCRIBE, *values)}").status_code == 404


def test_a_link_signed_with_an_older_key_works_and_with_a_removed_one_does_not(site: Site) -> None:
    path = site.unsubscribe(site.reader())
    for keys, status in ((("n" * 43, "k" * 43), 200), (("n" * 43,), 404)):
        client = TestClient(application(replace(site.press, tokens=Tokens(keys))))
        assert client.get(path).status_code == status


@pytest.mark.parametrize("state", STATES)
def test_a_body_that_is_too_large_or_no_form_changes_nothing(state: str, site: Site) -> None:
    path = STATES[state](site)
    before = site.dump()
    large = site.client.post(path, data=ACTS | {"x": "y" * 20_000})
    assert large.status_code == 413 and "Nothing was changed" in large.text
    file = site.client.post(path, data=ACTS, files={"f": b"x"})
    assert file.status_code == 400 and "Nothing was changed" in file.text
    assert site.dump() == before


def test_other_methods_are_refused(site: Site) -> None:
    path = site.unsubscribe(site.reader())
    before = site.dump()
    assert {site.client.request(method, path).status_code for method in ("PUT", "DELETE", "PATCH")} == {405}
    assert site.dump() == before


def test_pages_below_a_path_lead_to_pages_below_it(site: Site) -> None:
    reader = site.reader()
    undo = site.leave(reader)
    site.serve(Config.model_validate({"web": {"base_url": "https://example.com/news"}}))
    page = html.document_fromstring(site.client.get("/news" + site.unsubscribe(reader)).text)
    assert set(page.xpath("//form/@action")) == {"/news" + undo}
