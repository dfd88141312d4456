"""What holds for every page for readers: who may open it, what it carries, and how it is built."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
import socket
import string
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.message import EmailMessage
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx
import pytest
import uvicorn
from lxml import html
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from newsletter.config import Config
from newsletter.rendering import templates_folder
from newsletter.web import application
from subscribers import Purpose, TokenError, Tokens
from subscribers.tables import WaitingLetter
from subscribers.tokens import LIFETIMES
from tests.subscribers.pages.conftest import Site, body, link, main_text

PATHS = {
    "/c/{}": Purpose.CONFIRM,
    "/p/{}": Purpose.PREFERENCES,
    "/p/{}/data": Purpose.PREFERENCES,
    "/u/{}": Purpose.UNSUBSCRIBE,
    "/n/{}": Purpose.UNDO,
    "/f/{}/1": Purpose.FEEDBACK,
    "/d/{}": Purpose.DATA,
    "/a/{}": Purpose.ADDRESS,
}
"""Every address with a token in it, and what its token is good for."""

ACTS = {
    **dict.fromkeys(("leave", "undo", "save", "confirm", "send", "worth", "move", "sure", "subscribe"), "yes"),
    "instead": "weekly",
    "follow": "everything",
    "frequency": "every",
    "pause": "none",
    "format": "html",
    "address": "eve@example.com",
    "List-Unsubscribe": "One-Click",
}
"""Every button and field that any page has, at once."""


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


def never_confirmed(site: Site) -> str:
    """The undo of someone who was let go before they confirmed."""
    site.ask()
    row = site.find()
    assert row is not None
    path = site.leave(row.id)
    site.client.post(path, data={"undo": "yes"})
    assert "You are not on the list yet" in main_text(site.client.get(path).text)
    return path


def confirming(site: Site) -> str:
    """The link in the letter that asks for confirmation."""
    site.ask()
    return link(site.mails()[0], "c")


def new_address(site: Site) -> str:
    """The link in the letter to a new address."""
    site.client.post(site.data(site.reader()), data={"do": "move", "address": "new@example.com"})
    return link(site.mails()[0], "a")


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
    "never confirmed": never_confirmed,
    "confirming": confirming,
    "confirmed": lambda site: site.confirm(site.reader()),
    "data letter": lambda site: f"{site.preferences(site.reader())}/data",
    "data": lambda site: site.data(site.reader()),
    "new address": new_address,
    "feedback": lambda site: site.feedback(site.reader(), site.publish(), 2),
    "lost": lambda site: "/lost",
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


def token_for(site: Site, purpose: Purpose, reader: int) -> str:
    """A genuine token of a purpose."""
    return site.tokens.sign(purpose, reader, 1, now=site.now if purpose in LIFETIMES else None)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_token_of_another_purpose_opens_nothing(purpose: Purpose, site: Site) -> None:
    reader, _ = site.reader(), site.publish()
    token = token_for(site, purpose, reader)
    before = site.dump()
    for path, own in PATHS.items():
        if own is purpose:
            continue
        for act in ({}, {"do": "copy"}, {"do": "delete"}, {"do": "move"}):
            answer = site.client.post(path.format(token), data=ACTS | act)
            assert answer.status_code == 404 and "This link opens nothing" in answer.text
        assert site.client.get(path.format(token)).status_code == 404
    assert site.dump() == before


NO_TOKENS = ("x", "u.1.1.AAAAAAAAAAAAAAAAAAAAAA", "u." + "1" * 400, "%00", "%3Cscript%3E", "u.1.ü", "%0D%0AA:b")


def test_a_forged_link_gets_a_calm_page(site: Site) -> None:
    site.reader()
    before = site.dump()
    for path, token in itertools.product(PATHS, NO_TOKENS):
        for answer in (site.client.get(path.format(token)), site.client.post(path.format(token), data=ACTS)):
            assert answer.status_code == 404
            assert "This link opens nothing" in answer.text and "script" not in answer.text
            assert "set-cookie" not in answer.headers
    assert site.dump() == before


def mutations(token: str, count: int) -> Iterator[str]:
    """Texts that are nearly a token: letters changed, left out, added, swapped, and parts of other tokens."""
    rng = random.Random(7)
    letters = string.ascii_letters + string.digits + "-_."
    made = 0
    while made < count:
        chars = list(token)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            place = rng.randrange(len(chars))
            match rng.randrange(5):
                case 0:
                    chars[place] = rng.choice(letters)
                case 1:
                    del chars[place]
                case 2:
                    chars.insert(place, rng.choice(letters))
                case 3:
                    chars[place] = chars[place].swapcase()
                case _:
                    chars[place], chars[-1] = chars[-1], chars[place]
        if (mutated := "".join(chars)) != token:
            made += 1
            yield mutated


def accepted(site: Site, purpose: Purpose, token: str) -> bool:
    """Whether a token is read."""
    try:
        site.tokens.read(purpose, token, now=site.now)
    except TokenError:
        return False
    return True


def test_of_ten_thousand_tokens_that_are_nearly_genuine_none_is_accepted(site: Site) -> None:
    reader = site.reader()
    for purpose in Purpose:
        token = token_for(site, purpose, reader)
        assert accepted(site, purpose, token)
        assert not [near for near in mutations(token, 10_000 // len(Purpose) + 1) if accepted(site, purpose, near)]


def test_a_page_opens_for_no_token_that_is_nearly_genuine(site: Site) -> None:
    reader, _ = site.reader(), site.publish()
    before = site.dump()
    for path, purpose in PATHS.items():
        for near in mutations(token_for(site, purpose, reader), 5):
            assert site.client.post(path.format(quote(near, safe="")), data=ACTS).status_code == 404
    assert site.dump() == before


def test_a_link_without_a_reader_opens_nothing(site: Site) -> None:
    for values in ((), ("word",), ("word", 1)):
        assert site.client.get(f"/u/{site.tokens.sign(Purpose.UNSUBSCRIBE, *values)}").status_code == 404


def test_a_link_signed_with_an_older_key_works_and_with_a_removed_one_does_not(site: Site) -> None:
    reader, issue = site.reader(), site.publish()
    data = site.data(reader)
    site.client.post(data, data={"do": "move", "address": "new@example.com"})
    change = link(site.mails()[0], "a")
    left = site.leave(site.reader("bo@example.com"))
    paths = [data, change, left, site.unsubscribe(reader), site.preferences(reader), site.confirm(reader)]
    paths += [site.feedback(reader, issue, 1), f"{site.preferences(reader)}/data"]
    for keys, status in ((("n" * 43, "k" * 43), 200), (("n" * 43,), 404)):
        client = TestClient(application(replace(site.press, tokens=Tokens(keys))))
        assert {client.get(path).status_code for path in paths} == {status}


@pytest.mark.parametrize("state", STATES)
def test_a_body_that_is_too_large_or_no_form_changes_nothing(state: str, site: Site) -> None:
    path = STATES[state](site)
    before = site.dump()
    large = site.client.post(path, data=ACTS | {"x": "y" * 20_000})
    assert large.status_code == 413 and "Nothing was changed" in large.text
    file = site.client.post(path, data=ACTS, files={"f": b"x"})
    assert file.status_code == 400 and "Nothing was changed" in file.text
    unread = {"content-type": "multipart/form-data; boundary=b; charset=undefined"}
    part = b'--b\r\nContent-Disposition: form-data; name="leave"\r\n\r\nyes\r\n--b--\r\n'
    assert site.client.post(path, content=part, headers=unread).status_code == 400
    assert site.dump() == before


def test_other_methods_are_refused(site: Site) -> None:
    reader, _ = site.reader(), site.publish()
    before = site.dump()
    for path, purpose in PATHS.items():
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = site.client.request(method, path.format(token_for(site, purpose, reader)))
            assert answer.status_code == 405
            assert is_kept_between_reader_and_server(answer.headers)
    assert site.dump() == before


@pytest.mark.parametrize("kind", [RuntimeError, LookupError, OperationalError, IntegrityError])
def test_an_error_keeps_the_token_too(kind: type[Exception], site: Site) -> None:
    secrets: list[str] = []

    def broken(request: Request) -> Response:
        secrets.append(request.path_params["token"])
        message = f"{request.url} of ada@example.com"
        raise kind(message, {}, ValueError(message)) if issubclass(kind, DBAPIError) else kind(message)

    routes = [Route(path.format("{token}"), broken) for path in PATHS]
    app = application(site.press, routes)
    client = TestClient(app, raise_server_exceptions=False)
    reader = site.reader()
    for path, purpose in PATHS.items():
        answer = client.get(path.format(token_for(site, purpose, reader)))
        assert answer.status_code == (503 if kind is OperationalError else 500)
        assert is_kept_between_reader_and_server(answer.headers)
        assert "token" not in answer.text and secrets[-1] not in answer.text
    assert len(secrets) == len(PATHS)


def test_the_server_writes_neither_token_nor_address_to_its_log(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    address = "ada@example.com"

    def broken(request: Request) -> Response:
        raise LookupError(request.url, address)

    token = token_for(site, Purpose.PREFERENCES, site.reader())
    config = uvicorn.Config(
        application(site.press, [Route("/broken/{token}", broken)]), lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        statuses = [
            httpx.request(method, f"{base}/{path}/{token}", data={"address": address}).status_code
            for method, path in (("GET", "broken"), ("POST", "p"), ("POST", "u"), ("PUT", "d"), ("POST", "x"))
        ]
        with socket.create_connection(listener.getsockname()) as raw:
            raw.sendall(f"NO /p/{token} HTTP/0.9 {address}\r\n\r\n".encode())
            assert b"400" in raw.recv(100)
        server.should_exit = True
        thread.join()
    said = caplog.text + "".join(capfd.readouterr())
    assert statuses == [500, 400, 404, 405, 404]
    assert "LookupError" in said and "in broken" in said
    assert token not in said and token[:20] not in said and address not in said


def is_kept_between_reader_and_server(headers: Mapping[str, str]) -> bool:
    """Whether, by these headers, nobody stores an answer, finds it by searching, or is told where it stands."""
    return (
        headers["cache-control"] == "no-store"
        and headers["x-robots-tag"] == "noindex"
        and headers["referrer-policy"] == "no-referrer"
        and headers["x-content-type-options"] == "nosniff"
        and headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        and not {"set-cookie", "location", "server"} & set(headers)
    )


def test_the_form_for_everyone_may_be_found_and_the_pages_after_it_not(site: Site) -> None:
    answer = site.client.get("/subscribe")
    assert "x-robots-tag" not in answer.headers and "noindex" not in answer.text
    assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in site.ask().text
    assert is_kept_between_reader_and_server(site.client.get("/lost").headers)


def every_mail(site: Site) -> list[EmailMessage]:
    """An issue to a reader, ada@example.com, and a letter of every kind to them and to others."""
    site.serve(Config.model_validate({"topics": [{"key": key, "name": key.title()} for key in ("safety", "policy")]}))
    site.publish()
    mover, client, mails = site.reader("mover@example.com"), site.client, []

    def post(path: str, **form: str) -> None:
        client.post(path, data=form)
        mails.extend(site.mails())

    site.ask()
    mails += site.mails()
    post(link(mails[0], "c"), confirm="yes")
    row = site.find()
    assert row is not None
    site.now += dt.timedelta(minutes=16)
    post("/subscribe", address="ada@example.com", follow="everything", subscribe="yes")
    post("/lost", address="ada@example.com")
    post(f"{site.preferences(row.id)}/data", send="yes")
    post(link(mails[-1], "d"), do="move", address="later@example.com")
    post(site.data(mover), do="move", address="moved@example.com")
    post(link(mails[-1], "a"), move="yes")
    post("/subscribe", address="pending@example.com", follow="everything", subscribe="yes")
    with site.store.read() as session:
        kinds = set(session.scalars(select(col(WaitingLetter.kind))))
    assert kinds == set(tomllib.loads((templates_folder() / "words" / "en.toml").read_text("utf-8"))["letters"])
    return [*mails, *site.send(site.publish())]


def links_of(mail: EmailMessage) -> list[str]:
    """Every link of a mail that leads to us: of its HTML, its text and its headers."""
    found = set(re.findall(r"https?://[^\s<>]+", f"{body(mail)} {mail['list-unsubscribe'] or ''}"))
    found |= {str(url) for url in html.document_fromstring(body(mail, "html")).xpath("//@href | //@src | //@action")}
    return sorted({path_of(url) for url in found} - {""})


def path_of(url: str) -> str:
    """The path and query of an address of ours; empty for others'."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path}{query}" if parts.netloc in ("newsletter.example.com", "") else ""


def crawl(site: Site, paths: list[str], known: set[str]) -> dict[str, int]:
    """GET and HEAD these pages and every page that they lead to, but for known ones. Returns the status of each."""
    waiting, seen = list(paths), dict[str, int]()
    while waiting:
        path = waiting.pop()
        if not path or path in seen or path in known:
            continue
        answer = site.client.get(path)
        assert site.client.head(path).status_code == answer.status_code
        seen[path] = answer.status_code
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        page = html.document_fromstring(answer.text)
        waiting += [path_of(urljoin(path, str(url))) for url in page.xpath("//@href")]
        for form in page.xpath("//form[@method='get']"):
            waiting.append(f"{form.get('action')}?{urlencode({**dict(form.form_values()), 'q': 'finding'})}")
    return seen


PUBLIC = {
    *("/issues", "/issues?q=finding", "/issues/1", "/issues/2", "/topics", "/topics/safety", "/topics/policy"),
    *("/feed.xml", "/mark.svg", "/subscribe", "/lost"),
}


def test_no_link_of_any_mail_or_page_changes_a_row(site: Site) -> None:
    """What mail scanners and search engines do, for readers and for who is none any more.

    They follow every link, and send every form that is sent by GET.
    """
    paths = [path for mail in every_mail(site) for path in links_of(mail)]
    row = site.find()
    assert row is not None and {path.split("/")[1] for path in paths} >= {"c", "p", "u", "f", "d", "a", "issues"}
    known: set[str] = set()
    for event in (
        lambda: None,
        lambda: paths.append(site.leave(row.id)),
        lambda: site.client.post(paths[-1], data={"undo": "yes"}),
        lambda: site.suppress("ada@example.com"),
        lambda: site.erase(row.id),
    ):
        event()
        before = site.dump()
        seen = crawl(site, paths, known)
        assert len(seen) > 12 and max(seen.values()) < 500
        assert site.dump() == before
        known = known or PUBLIC & set(seen)
    assert known == PUBLIC
