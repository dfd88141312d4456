"""Once the time of what is kept of a person is over, nothing in the whole database tells their address."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import subscribers
from newsletter import events, letters, pipeline, sending
from newsletter.config import Config
from newsletter.deliveries import Claimed
from newsletter.providers import Accepted, InDoubt, Outcome, Refused, TryLater
from newsletter.slots import Slot
from newsletter.store import Store, open_store
from newsletter.values import Message
from newsletter.web import application
from subscribers import Purpose, people
from tests.newsletter.life import Life
from tests.newsletter.makers import DAY

LOCAL, NAME, NETWORK = "qzqann.lovelace+qzq", "Qzqada Qzqlovelace", "2001:db8::qzq"
ADDRESS = f"{LOCAL}@qzqprivate.example.com"
WORDS = ("qzqann", "qzqada", "qzqlovelace", "2001:db8::qzq")
"""What nothing may hold afterwards, in small letters."""


class Chatty:
    """A provider that repeats the reader's address in all that it says."""

    name, batch, repeats_safely = "chatty", 50, False

    def __init__(self, kind: type[Outcome]) -> None:
        self._kind = kind

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        for one in messages:
            yield (
                self._kind(one.key, f"550 <{one.to}>: {one.to} is unknown")
                if self._kind is not Accepted
                else (Accepted(one.key, "ref"))
            )


def texts(file: Path) -> list[tuple[str, str]]:
    """Every value of every table that can be read as text, with its place."""
    found = list[tuple[str, str]]()
    with closing(sqlite3.connect(file)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in names:
            cursor = database.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                found += ((f"{table}.{column}", str(value)) for column, value in zip(columns, row, strict=True))
    assert set(names) >= {"subscriber", "consent", "delivery", "event", "letter", "suppression"}
    return found


def traces(file: Path) -> set[str]:
    """Where something of the person still stands."""
    return {place for place, text in texts(file) if any(word in text.lower() for word in WORDS)}


def live(life: Life, deeds: Sequence[str]) -> None:
    """The person asks, and does these things one after another, an hour between them."""
    with life.store.write() as session:
        asked = subscribers.add(
            session, ADDRESS, now=life.now, how="form", consent_text="Yes", name=NAME, network=NETWORK
        ).subscriber
        assert asked is not None
        subscribers.post_letter(session, subscribers.Letter("confirm", ADDRESS, {"name": NAME}), now=life.now)
    for deed in deeds:
        life.now += dt.timedelta(hours=1)
        _do(life, asked.id, deed)


def _do(life: Life, person: int, deed: str) -> None:
    with life.store.write() as session:
        if deed == "confirm":
            people.confirm(session, person, now=life.now, consent_text="Yes", network=NETWORK)
        if deed == "leave":
            subscribers.unsubscribe(session, person, now=life.now)
        if deed == "complain":
            subscribers.suppress_subscriber(session, person, subscribers.Kind.COMPLAINT, now=life.now)
        if deed == "move":
            new = f"qzqann.new@{life.now:%H}.example.com"
            subscribers.change_address(session, person, new, now=life.now, consent_text="Yes")
        if deed == "wish":
            subscribers.post_letter(session, subscribers.Letter("address", f"{LOCAL}@new.example.com"), now=life.now)
        if deed == "bounce":
            why, name = f"<{ADDRESS}> is full", f"report {life.now}"
            events.record(session, [events.Event("1-2", events.Kind.SOFT_BOUNCE, life.now, why, name)], life.now)
    kinds = {"refused": Refused, "doubt": InDoubt, "later": TryLater, "send": Accepted}
    if deed in kinds:
        _publish(life, kinds[deed])
    if deed == "letters":
        letters.send_due(life.press, Chatty(Refused))


def _compose(claimed: Claimed) -> Message:
    return Message(claimed.key, claimed.address, (("Subject", "x"),), "text")


def _publish(life: Life, kind: type[Outcome]) -> None:
    life.coming = [((), 5.0)]
    number = life.draft(Slot("every", f"{life.now:%Y-%m-%dT%H}", life.now, life.now)).number
    assert number is not None
    pipeline.freeze(life.press, number)
    sending.send(life.store, number, Chatty(kind), _compose, life.press.clocks)


def after_a_while(life: Life, days: int = 45) -> None:
    """That many days go by, and every few of them the sweep is done."""
    for _ in range(days // 5):
        life.now += dt.timedelta(days=5)
        letters.tidy(life.press)


@pytest.fixture
def life(store: Store) -> Iterator[Life]:
    """A newsletter with one reader who stays."""
    made = Life(store, Config(), DAY)
    made.join("stays")
    yield made


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    """An empty database."""
    with closing(open_store(f"sqlite:///{tmp_path}/newsletter.sqlite3")) as made:
        yield made


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without rows, to be copied: making one takes longer."""
    file = tmp_path_factory.mktemp("empty") / "newsletter.sqlite3"
    open_store(f"sqlite:///{file}").close()
    return file


DEEDS = ("confirm", "move", "wish", "bounce", "refused", "doubt", "later", "send", "letters")


@pytest.mark.slow
@settings(
    max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=6), end=st.sampled_from(["leave", "complain", "never confirms"]))
def test_whatever_a_person_did_no_table_tells_of_them_afterwards(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory, deeds: list[str], end: str
) -> None:
    file = tmp_path_factory.mktemp("life") / "newsletter.sqlite3"
    file.write_bytes(empty_database.read_bytes())
    with closing(open_store(f"sqlite:///{file}")) as store:
        life = Life(store, Config(), DAY)
        life.join("stays")
        live(life, [deed for deed in deeds if end != "never confirms" or deed != "confirm"] + [end])
        after_a_while(life)
    assert traces(file) == set()


def test_who_left_is_told_of_nowhere_and_not_in_the_free_pages_of_the_file_either(life: Life) -> None:
    live(life, ["confirm", "refused", "doubt", "later", "send", "bounce", "letters", "leave"])
    file = life.store.file
    assert file is not None and {"subscriber.address", "consent.network"} <= traces(file)
    assert not any(place.startswith(("delivery", "event", "sending")) for place in traces(file))
    after_a_while(life)
    assert traces(file) == set()
    life.store.close()
    left = file.read_bytes().lower()
    assert [word for word in WORDS if word.encode() in left] == []
    again = open_store(life.store.url)
    with again.write() as session:
        held = subscribers.add(session, ADDRESS.upper(), now=life.now, how="import", consent_text="Yes", active=True)
        assert (held.outcome, held.subscriber) == (subscribers.Outcome.LEFT, None)
    again.close()


def test_links_in_old_mail_answer_calmly_for_who_is_forgotten(life: Life) -> None:
    live(life, ["confirm", "leave"])
    left_at, tokens = life.now, life.press.tokens
    after_a_while(life)
    client = TestClient(application(life.press), raise_server_exceptions=False)
    undo = tokens.sign(Purpose.UNDO, 2, int(left_at.timestamp()), now=left_at)
    others = [f"/{purpose.value}/{tokens.sign(purpose, 2)}" for purpose in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES)]
    for link in (f"/n/{undo}", *others):
        for answer in (client.get(link), client.post(link, data={"undo": "yes", "leave": "yes"})):
            assert answer.status_code in (200, 410), (link, answer.status_code)
            assert "Traceback" not in answer.text and "<h1>" in answer.text
    assert "It may be old" in client.get(f"/n/{undo}").text
    one_click = client.post(f"/u/{tokens.sign(Purpose.UNSUBSCRIBE, 2)}", data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
