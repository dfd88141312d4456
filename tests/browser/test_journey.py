"""The whole way of a reader in one browser, from asking to nothing being kept, as `newsletter serve` serves it.

The letters are read where the files provider writes them, and their buttons are pressed in the browser.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import newsletter
from newsletter import pipeline
from newsletter.cli._workshop import Workshop
from newsletter.config import load
from newsletter.store import sqlite_file
from tests.browser.conftest import Open
from tests.browser.wording import say
from tests.newsletter.web.conftest import House, entry
from tests.subscribers.pages.conftest import body, read_mail

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_SECONDS = 20
ADDRESS, NEW_ADDRESS = "ada@example.com", "lovelace@example.com"
ISSUE = "A mailed piece"
"""What the subject of the mailed issue holds."""


@dataclass(frozen=True)
class Owner:
    """A newsletter in a folder, served by a process of its own."""

    base: str
    workshop: Workshop
    house: House

    def send_issue(self) -> None:
        """Have one more issue out, and mail it."""
        number = self.house.write(entry(title="A mailed piece"), entry(), entry())
        pipeline.freeze(self.house.press, number)
        pipeline.send(self.house.press, number, self.workshop.provider())

    def mail(self, address: str, subject: str) -> str:
        """The HTML of the one mail to an address whose subject holds these words, as soon as it is there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            mails = [read_mail(file.read_bytes()) for file in self.workshop.settings.outbox.glob("*.eml")]
            found = [mail for mail in mails if mail["To"] == address and subject in mail["Subject"]]
            if found:
                (mail,) = found
                return body(mail, "html")
            time.sleep(0.05)
        raise AssertionError(f"no mail to {address} says {subject!r}")


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    """A newsletter with one issue out, served."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    (tmp_path / "newsletter.toml").write_text(f'[web]\nbase_url = "{base}"\nport = {port}\n', "utf-8")
    arguments = argparse.Namespace(quiet=True, verbose=False, debug=False, json=False, config=tmp_path, now=None)
    workshop = Workshop(arguments, load(tmp_path, {}))
    with workshop.store() as store:
        house = House(workshop.press(store))
        house.publish()
        with _serving(tmp_path, base):
            yield Owner(base, workshop, house)


@contextmanager
def _serving(folder: Path, base: str) -> Iterator[None]:
    """`newsletter serve` in a process of its own, from when it answers."""
    command = [sys.executable, "-m", "newsletter", "serve", "--config", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(newsletter.__file__).parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(base):
            assert process.poll() is None and time.monotonic() < deadline, "`newsletter serve` does not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Visitor:
    """Someone at the browser."""

    page: Page

    def open_mail(self, html: str) -> None:
        """Open a mail, as a webmail shows it."""
        self.page.goto("about:blank")
        self.page.set_content(html)

    def follow(self, link: str) -> str:
        """Follow the first link of that name, in the same window, whatever it asks for. Returns where it led."""
        found = self.page.get_by_role("link", name=link, exact=True).first
        found.evaluate("link => link.removeAttribute('target')")
        with self.page.expect_navigation():
            found.click()
        return self.page.url

    def press(self, button: str) -> None:
        """Press a button."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).click()

    def reads(self, text: str) -> None:
        """The page must say this."""
        assert text in " ".join(self.page.inner_text("main").split())


def test_from_subscribe_to_delete(owner: Owner, open_page: Open) -> None:
    with open_page() as page:
        visitor = Visitor(page)
        confirm = _join(owner, visitor)
        preferences = _choose(owner, visitor)
        feedback = _read_and_say(owner, visitor)
        unsubscribe, undo = _leave_and_come_back(owner, visitor)
        _move(owner, visitor, preferences)
        data = _open_data(owner, visitor, preferences, NEW_ADDRESS)
        _take_a_copy(visitor)
        _delete(visitor)
        for link in (confirm, preferences, feedback, unsubscribe, undo, data):
            page.goto(link)
            visitor.reads(say("nobody_title"))
        assert not page.context.cookies()
    _nothing_is_kept(owner)


def _join(owner: Owner, visitor: Visitor) -> str:
    """Ask with a choice of topics, and confirm by the letter. Returns its link."""
    page = visitor.page
    page.goto(f"{owner.base}/issues")
    visitor.follow(say("subscribe"))
    page.get_by_label(say("address")).fill(ADDRESS)
    page.get_by_label(say("follow_chosen")).check()
    page.get_by_label("Safety").check()
    visitor.press(say("subscribe_button"))
    visitor.reads(say("asked_title"))
    visitor.open_mail(owner.mail(ADDRESS, say("letters.confirm.subject")))
    link = visitor.follow(say("letters.confirm.button"))
    visitor.reads(say("you_follow", topics="Safety"))
    visitor.press(say("confirm_button"))
    visitor.reads(say("settled_title"))
    return link


def _choose(owner: Owner, visitor: Visitor) -> str:
    """Change what comes by the welcome letter. Returns its link."""
    visitor.open_mail(owner.mail(ADDRESS, say("letters.welcome.subject")))
    link = visitor.follow(say("letters.welcome.button"))
    assert visitor.page.get_by_label("Safety").is_checked()
    visitor.page.get_by_label(say("follow_everything")).check()
    visitor.press(say("save"))
    visitor.reads(say("saved"))
    return link


def _read_and_say(owner: Owner, visitor: Visitor) -> str:
    """Read the issue that is mailed next, and say something on its first piece. Returns the link for that."""
    owner.send_issue()
    mail = owner.mail(ADDRESS, ISSUE)
    visitor.open_mail(mail)
    visitor.follow(say("view_in_browser"))
    visitor.reads("A mailed piece")
    visitor.open_mail(mail)
    link = visitor.follow(say("worth"))
    visitor.reads("A mailed piece")
    visitor.press(say("feedback_yes"))
    visitor.reads(say("feedback_yes_said"))
    return link


def _leave_and_come_back(owner: Owner, visitor: Visitor) -> tuple[str, str]:
    """Take fewer mails, then none, then take that back. Returns the links for leaving and for undoing it."""
    visitor.open_mail(owner.mail(ADDRESS, ISSUE))
    link = visitor.follow(say("unsubscribe"))
    visitor.press(say("fewer_pause_30"))
    visitor.reads(say("settled_pause", date="\0").partition("\0")[0])
    visitor.page.goto(link)
    visitor.press(say("leave_button"))
    visitor.reads(say("left_title"))
    visitor.press(say("undo_button"))
    visitor.reads(say("settled_title"))
    return link, visitor.page.url


def _open_data(owner: Owner, visitor: Visitor, preferences: str, address: str) -> str:
    """Go to one's data by the letter to that address. Returns its link."""
    visitor.page.goto(preferences)
    visitor.follow(say("data_link"))
    visitor.press(say("data_letter_button"))
    visitor.open_mail(owner.mail(address, say("letters.data.subject")))
    link = visitor.follow(say("letters.data.button"))
    visitor.reads(say("data_about", address=address))
    return link


def _move(owner: Owner, visitor: Visitor, preferences: str) -> None:
    """Change the address by the letter to the new one. The old one is told, and the letter there is good no more."""
    data = _open_data(owner, visitor, preferences, ADDRESS)
    visitor.page.get_by_label(say("new_address")).fill(NEW_ADDRESS)
    visitor.press(say("move_button"))
    visitor.reads(say("move_sent", address=NEW_ADDRESS))
    visitor.open_mail(owner.mail(NEW_ADDRESS, say("letters.address.subject")))
    change = visitor.follow(say("letters.address.button"))
    visitor.press(say("address_button"))
    visitor.reads(say("moved", address=NEW_ADDRESS))
    owner.mail(ADDRESS, say("letters.moved.subject"))
    for used in (data, change):
        visitor.page.goto(used)
        visitor.reads(say("dead_link_title"))


def _take_a_copy(visitor: Visitor) -> None:
    """Download one's data: all that the way so far has left."""
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name=say("copy_button")).click()
    assert download.value.suggested_filename == "newsletter-data.json"
    copy: dict[str, Any] = json.loads(download.value.path().read_text("utf-8"))
    assert (copy["address"], copy["state"], copy["preferences"]["topics"]) == (NEW_ADDRESS, "active", None)
    assert [consent["address"] for consent in copy["consents"]] == [ADDRESS, ADDRESS, NEW_ADDRESS]
    assert [mail["state"] for mail in copy["mails"]] == ["accepted"]
    assert [said["is_worth"] for said in copy["feedback"]] == [True]


def _delete(visitor: Visitor) -> None:
    """Have everything deleted."""
    visitor.page.get_by_label(say("sure")).check()
    visitor.press(say("delete_button"))
    visitor.reads(say("deleted_title"))


def _nothing_is_kept(owner: Owner) -> None:
    """No table holds either address."""
    file = sqlite_file(owner.house.store.url)
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        lines = list(connection.iterdump())
    assert not [line for line in lines if ADDRESS in line or NEW_ADDRESS in line]
