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
            visitor.reads("Nothing is kept about you here")
        assert not page.context.cookies()
    _nothing_is_kept(owner)


def _join(owner: Owner, visitor: Visitor) -> str:
    """Ask with a choice of topics, and confirm by the letter. Returns its link."""
    page = visitor.page
    page.goto(f"{owner.base}/issues")
    visitor.follow("Subscribe")
    page.get_by_label("Your mail address").fill(ADDRESS)
    page.get_by_label("Only the topics ticked here").check()
    page.get_by_label("Safety").check()
    visitor.press("Subscribe")
    visitor.reads("Check your mail")
    visitor.open_mail(owner.mail(ADDRESS, "Please confirm"))
    link = visitor.follow("Confirm that you want it")
    visitor.reads("You follow Safety.")
    visitor.press("Yes, subscribe me")
    visitor.reads("You are on the list")
    return link


def _choose(owner: Owner, visitor: Visitor) -> str:
    """Change what comes by the welcome letter. Returns its link."""
    visitor.open_mail(owner.mail(ADDRESS, "You are on the list"))
    link = visitor.follow("Choose what you get")
    assert visitor.page.get_by_label("Safety").is_checked()
    visitor.page.get_by_label("Everything, new topics too").check()
    visitor.press("Save")
    visitor.reads("Saved.")
    return link


def _read_and_say(owner: Owner, visitor: Visitor) -> str:
    """Read the issue that is mailed next, and say something on its first piece. Returns the link for that."""
    owner.send_issue()
    mail = owner.mail(ADDRESS, ISSUE)
    visitor.open_mail(mail)
    visitor.follow("View in browser")
    visitor.reads("A mailed piece")
    visitor.open_mail(mail)
    link = visitor.follow("Was this worth your time?")
    visitor.reads("A mailed piece")
    visitor.press("Yes, it was")
    visitor.reads("You said that it was.")
    return link


def _leave_and_come_back(owner: Owner, visitor: Visitor) -> tuple[str, str]:
    """Take fewer mails, then none, then take that back. Returns the links for leaving and for undoing it."""
    visitor.open_mail(owner.mail(ADDRESS, ISSUE))
    link = visitor.follow("Unsubscribe")
    visitor.press("A pause of 30 days")
    visitor.reads("No mail comes until")
    visitor.page.goto(link)
    visitor.press("Unsubscribe")
    visitor.reads("You are unsubscribed")
    visitor.press("Undo")
    visitor.reads("You are on the list")
    return link, visitor.page.url


def _open_data(owner: Owner, visitor: Visitor, preferences: str, address: str) -> str:
    """Go to one's data by the letter to that address. Returns its link."""
    visitor.page.goto(preferences)
    visitor.follow("Your address and your data")
    visitor.press("Send me the letter")
    visitor.open_mail(owner.mail(address, "Your data at"))
    link = visitor.follow("See what is kept")
    visitor.reads(f"This is about {address}.")
    return link


def _move(owner: Owner, visitor: Visitor, preferences: str) -> None:
    """Change the address by the letter to the new one. The old one is told, and the letter there is good no more."""
    data = _open_data(owner, visitor, preferences, ADDRESS)
    visitor.page.get_by_label("The new address").fill(NEW_ADDRESS)
    visitor.press("Ask at the new address")
    visitor.reads("Nothing changes until")
    visitor.open_mail(owner.mail(NEW_ADDRESS, "Please confirm this address"))
    change = visitor.follow("Confirm this address")
    visitor.press("Use this address")
    visitor.reads(f"goes to {NEW_ADDRESS} from now on")
    owner.mail(ADDRESS, "now goes to another address")
    for used in (data, change):
        visitor.page.goto(used)
        visitor.reads("This link opens nothing")


def _take_a_copy(visitor: Visitor) -> None:
    """Download one's data: all that the way so far has left."""
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Download the copy").click()
    assert download.value.suggested_filename == "newsletter-data.json"
    copy: dict[str, Any] = json.loads(download.value.path().read_text("utf-8"))
    assert (copy["address"], copy["state"], copy["preferences"]["topics"]) == (NEW_ADDRESS, "active", None)
    assert [consent["address"] for consent in copy["consents"]] == [ADDRESS, ADDRESS, NEW_ADDRESS]
    assert [mail["state"] for mail in copy["mails"]] == ["accepted"]
    assert [said["is_worth"] for said in copy["feedback"]] == [True]


def _delete(visitor: Visitor) -> None:
    """Have everything deleted."""
    visitor.page.get_by_label("Yes, delete everything that is kept about me").check()
    visitor.press("Delete it")
    visitor.reads("Everything was deleted")


def _nothing_is_kept(owner: Owner) -> None:
    """No table holds either address."""
    file = sqlite_file(owner.house.store.url)
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        lines = list(connection.iterdump())
    assert not [line for line in lines if ADDRESS in line or NEW_ADDRESS in line]
