"""A newsletter that says given texts wherever it can say something of others: in its mails, pages, feed and letters."""

from __future__ import annotations

import email
import email.policy
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.testclient import TestClient

import subscribers
from newsletter import issues, messages, pipeline, previews
from newsletter.config import Config
from newsletter.deliveries import Claimed
from newsletter.pipeline import Press
from newsletter.previews import Check, Preview
from newsletter.rendering import Reader, web_link
from newsletter.store import Store, open_store
from newsletter.values import (
    Appraisal,
    Choice,
    Claim,
    Edition,
    IssuePiece,
    Part,
    Section,
    SectionShape,
    Selection,
    Source,
    Summary,
    SummaryKind,
)
from newsletter.web import application
from subscribers import Frequency, Purpose
from tests.hostile.payloads import ADDRESSES
from tests.newsletter import makers
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import House, press_for

LETTERS = ("confirm", "already", "welcome", "lost", "data", "address", "moved", "approval")
TOGETHER = 6
"""Texts in one issue: with many more, the mail would leave some out to stay small."""

Documents = dict[str, str]
"""What was made, by where it is shown."""


@dataclass
class Stage:
    """Says ``texts``, each as ``mean`` changes it, in a newsletter with a topic for each."""

    texts: Sequence[str]
    mean: Callable[[str], str]
    empty: Path
    folder: Path
    _press: Press = field(init=False)

    def __post_init__(self) -> None:
        topics = [
            {"key": f"topic-{place}", "name": self.mean(text) or "x", "description": self.mean(text)}
            for place, text in enumerate(self.texts)
        ]
        config = Config.model_validate({"topics": topics})
        with self._store() as store:
            self._press = replace(press_for(store, config), frequencies=tuple(Frequency))

    def batches(self, size: int = TOGETHER) -> Iterator[tuple[int, Sequence[str]]]:
        """The texts in groups, each with the place of its first."""
        for start in range(0, len(self.texts), size):
            yield start, self.texts[start : start + size]

    def mail(self, start: int, texts: Sequence[str]) -> Documents:
        """The mail about these, to a reader of a name and an address like them."""
        issue = makers.issue(*(self._entry(place, text) for place, text in enumerate(texts, start)))
        mould = pipeline.mould(self._press, issue, Edition(issue, issue.pieces))
        address, follows = ADDRESSES[start % len(ADDRESSES)], frozenset(f"topic-{start + n}" for n in range(len(texts)))
        claimed = Claimed(1, 1, 1, 1, self.mean_address(address), self.mean(texts[0]), False, follows)
        message = pipeline.address(self._press, issue, mould, claimed)
        return {"mail": message.html, "headers": _header_names(messages.to_bytes(message))}

    def anyone(self, texts: Sequence[str]) -> Documents:
        """The mail to readers of whom our own code says such things: no store would keep them."""
        issue = makers.issue()
        rendered, url = self._press.renderer.edition(Edition(issue, issue.pieces)), "https://newsletter.example.com/x"
        readers = [Reader(self.mean(text), url, url, self.mean(text), url) for text in texts]
        return {f"mail to {place}": rendered.html(reader) for place, reader in enumerate(readers)}

    def letters(self, text: str) -> Documents:
        """Every letter with it in all places."""
        url, said = "https://newsletter.example.com/x", self.mean(text)
        links = {"url": url, "archive_url": url, "unsubscribe_url": url}
        values = {**dict.fromkeys(("address", "contact", "title", "command", "until"), said), **links, "digest": said}
        return {f"letter {kind}": self._press.renderer.letter(kind, values).html for kind in LETTERS}

    def pages(self, start: int, texts: Sequence[str]) -> Documents:
        """The public pages of an issue about these, one piece of which was corrected, and of the one after it."""
        with self._store() as store:
            house = House(replace(self._press, store=store))
            entries = [self._entry(place, text) for place, text in enumerate(texts, start)]
            number = house.publish(*entries)
            with store.write() as session:
                stored = issues.load(session, number).pieces
                for entry, text in zip(stored, texts, strict=True):
                    issues.correct(session, number, entry.piece.id, f"No: {self.mean(text)}", False, DAY)
            house.publish()
            paths: tuple[str, ...] = (
                "/issues",
                f"/issues/{number}",
                "/issues/2",
                "/topics",
                f"/topics/topic-{start}",
                "/feed.xml",
            )
            paths = (*paths, "/issues?q=Finding+number", "/sitemap.xml", "/subscribe")
            with TestClient(application(house.press)) as client:
                chosen = f"/p/{self._press.tokens.sign(Purpose.PREFERENCES, _reader(store)[0])}"
                return {path: client.get(path).text for path in (*paths, chosen)}

    def preview(self, start: int, texts: Sequence[str]) -> Documents:
        """The preview of a draft about these, seen by a reader of such a name, and of what was left out of it."""
        with self._store() as store:
            press = replace(self._press, store=store)
            entries = [self._entry(place, text) for place, text in enumerate(texts, start)]
            number = House(press).write(*entries)
            address = self.mean_address(ADDRESSES[start % len(ADDRESSES)])
            with store.write() as session:
                left_out = tuple(self._left_out(entry) for entry in entries)
                issues.row_of(session, number).selection = issues.selection_json(Selection((), left_out))
                added = subscribers.add(
                    session, address, now=DAY, how="test", consent_text="yes", active=True, name=_name(self.mean, texts)
                )
            assert added.subscriber is not None
            with store.read() as session:
                preview = self._judged(previews.prepare(press, session, number, address), texts)
            made = {"preview": previews.page(press, preview)}
        for place, text in enumerate(texts, start):
            values = {"problem": self.mean(text), "live": "now"}
            made[f"preview problem {place}"] = self._press.renderer.page("preview_problem.html", **values)
        return made

    def asked(self, texts: Sequence[str]) -> Documents:
        """What pages for everyone answer to searches and forms that hold each of these."""
        made = {}
        with self._store() as store, self._visitor(store) as (_, client):
            for place, text in enumerate(texts):
                said = self.mean(text)
                # A word that no piece has: what is found is the same for every text.
                made[f"search {place}"] = client.get("/issues", params={"q": f"qqzz {said}"}).text
                # Two signs that no address has: each is answered as one that is none.
                given = {"address": f"{said}@@", "subscribe": "yes", "frequency": said}
                made[f"subscribe {place}"] = client.post("/subscribe", data=given).text
        return made

    def filled_in(self, texts: Sequence[str]) -> Documents:
        """What a reader's pages answer to forms and addresses that hold each of these."""
        made = {}
        with self._store() as store, self._visitor(store) as (press, client):
            (reader, tag), tokens = _reader(store), press.tokens
            data = f"/d/{tokens.sign(Purpose.DATA, reader, tag, now=press.clocks.now())}"
            preferences = f"/p/{tokens.sign(Purpose.PREFERENCES, reader)}"
            for place, text in enumerate(texts):
                said = self.mean(text)
                given = {"address": f"{said}@@", "send": "yes", "do": "move", "save": "yes", "time_zone": said}
                given |= {"topic": said, "follow": "chosen", "frequency": said, "pause": said, "format": said}
                for path in ("/lost", data, preferences):
                    made[f"{path[:3]} {place}"] = client.post(path, data=given).text
                for path in ("", "issues/", "u/", "topics/"):
                    # (Starlette's client would take a quoted percent sign for the begin of a quoted slash.)
                    bare = said.replace("/", "x").replace("%", "x")
                    word = quote(bare, safe="", errors="replace").replace(".", "%2E")
                    made[f"/{path} {place}"] = client.get(f"/{path}x{word}").text
        return made

    def mean_address(self, address: str) -> str:
        """An address, as it is or with nothing but letters in it."""
        local, _, domain = address.partition("@")
        return f"{self.mean(local)}@{domain}"

    def link(self, text: str) -> str:
        """The text as the address of a piece; an innocent one is an address when the text is one."""
        said = self.mean(text)
        return "https://publisher.example.com/innocent" if said != text and web_link(text) else said

    @contextmanager
    def _store(self) -> Iterator[Store]:
        file = self.folder / "stage.sqlite3"
        for old in self.folder.glob("stage.sqlite3*"):
            old.unlink()
        shutil.copy(self.empty, file)
        store = open_store(f"sqlite:///{file}")
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def _visitor(self, store: Store) -> Iterator[tuple[Press, TestClient]]:
        """The pages, without topics: those are shown by themselves."""
        press = replace(self._press, store=store, config=self._press.config.model_copy(update={"topics": ()}))
        with TestClient(application(press), follow_redirects=False) as client:
            yield press, client

    def _entry(self, place: int, text: str) -> IssuePiece:
        said = self.mean(text)
        return IssuePiece(
            makers.piece(
                place + 1,
                # The word that a search finds it by.
                title=f"Finding number {said}",
                url=self.link(text),
                authors=(said, said),
                source=Source(f"source {place}", said, "https://publisher.example.com/feed"),
                guid=said,
                text=said,
            ),
            _summary(said),
            (f"topic-{place}",),
            1.0,
            said,
        )

    def _judged(self, preview: Preview, texts: Sequence[str]) -> Preview:
        """The preview with such findings of checks: what the checks really find differs from text to text."""
        said = tuple(map(self.mean, texts))
        return replace(
            preview,
            checks=tuple(Check(text, False, text) for text in said),
            grounded=tuple(replace(one, failures=said, warnings=said, removed=said) for one in preview.grounded),
        )

    def _left_out(self, entry: IssuePiece) -> Choice:
        appraisal = Appraisal(entry.piece, DAY, entry.topics, (Part("made", 1.0, entry.why),), note=entry.why)
        return Choice(appraisal, False, entry.why)


def _summary(said: str) -> Summary:
    claims = ((Claim(said, (said,)),), (Claim(f"{said} {said}", (f"As they say, {said}",)),))
    sections = (
        Section("summary", "", SectionShape.PROSE, claims),
        Section("made", said, SectionShape.PROSE, claims),
        Section("build", said, SectionShape.PROSE, claims, is_suggestion=True),
        Section("takeaways", said, SectionShape.LIST, claims),
    )
    return Summary(SummaryKind.DIGEST, sections, said, said, notes=(f"{previews.LEFT_OUT}{said}", said))


def _name(mean: Callable[[str], str], texts: Sequence[str]) -> str:
    """The first of these that can be a name."""
    able = (text for text in texts if text.isprintable() and text.strip() and len(text) < 100)
    return mean(next(able, "x"))


def _reader(store: Store) -> tuple[Any, ...]:
    """What the link to a reader's data carries."""
    with store.write() as session:
        added = subscribers.add(
            session, "ada@example.com", now=DAY, how="test", consent_text="yes", active=True
        ).subscriber
        assert added is not None
        return added.id, f"a{added.identity_hash[:12]}"


def _header_names(raw: bytes) -> str:
    """The names of a mail's headers and of its parts', as a document of elements."""
    parts = email.message_from_bytes(raw, policy=email.policy.default).walk()
    return "".join(f"<p title>{name}</p>" if name.isascii() else "<b>" for part in parts for name in part)
