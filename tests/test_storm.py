"""The storm of `scripts/soak storm`: thirty seconds of it, and proof that its judge finds what is wrong."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter.store import open_store
from scripts.storm import judge
from scripts.storm.carriers import Taken
from scripts.storm.clock import Clock
from scripts.storm.judge import Books
from scripts.storm.people import Person, Town
from tests.newsletter.makers import DAY

ROOT = Path(__file__).resolve().parents[1]
LAWS = {law.__name__: name for name, law in judge.LAWS.items()}
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """The books of a storm in which Ada got issue 1, and Bo left before it."""
    folder = tmp_path_factory.mktemp("storm")
    logs, commands = folder / "logs", folder / "owner"
    for made in (logs, commands):
        made.mkdir()
    (logs / "run0-001.log").write_text("issue 1 is out\n")
    database = folder / "newsletter.sqlite3"
    open_store(f"sqlite:///{database}").close()
    _execute(database, *_issue(1), _reader(1, "ada"), _reader(2, "bo", "unsubscribed"))
    _execute(database, _delivery(1, "accepted"), _delivery(2, "skipped"))
    town = Town(Clock(0), [1], 1)
    ada, bo = town.person("ada@example.com"), town.person("bo@example.com")
    ada.is_in = bo.is_in = bo.may_be_out = True
    bo.fall_silent("unsubscribed", DAY - MINUTE)
    return Books(database, [Taken("1-1", ada.address, DAY, ())], town, logs, commands, ("a-secret",))


@pytest.fixture
def books(sound: Books, tmp_path: Path) -> Books:
    """A copy of them, to spoil."""
    database = tmp_path / "newsletter.sqlite3"
    shutil.copy(sound.database, database)
    logs, commands = tmp_path / "logs", tmp_path / "owner"
    shutil.copytree(sound.logs, logs)
    commands.mkdir()
    town = Town(Clock(0), [1], 1)
    for person in sound.town.people.values():
        town.people[person.address] = replace(person, silences=list(person.silences))
    return replace(sound, database=database, town=town, logs=logs, commands=commands, mails=list(sound.mails))


_MOMENT = f"{DAY:%Y-%m-%d %H:%M:%S}.000000"


def _issue(number: int) -> tuple[str, str]:
    return (
        "INSERT INTO issue (id, slot, kind, date, title, state, input_hash, created_at, selection) "
        f"VALUES ({number}, 'slot {number}', 'every', '2026-05-29', 'One', 'frozen', 'h', '{_MOMENT}', '{{}}')",
        f"INSERT INTO edition (id, issue_id, key, piece_ids) VALUES ({number}, {number}, 'all', '[7]')",
    )


def _reader(number: int, name: str, state: str = "active") -> str:
    address = f"{name}@example.com"
    return (
        "INSERT INTO subscriber (id, identity, identity_hash, address, name, state, state_reason, created_at, follows, "
        f"frequency, format, time_zone) VALUES ({number}, '{address}', '{name}', '{address}', '', '{state}', '', "
        f"'{_MOMENT}', '*', 'every', 'html', '')"
    )


def _delivery(reader: int, state: str, issue: int = 1) -> str:
    return (
        "INSERT INTO delivery (issue_id, subscriber_id, edition_id, state, reason, due_at, try_at, attempts, "
        "claimed_by, claimed_at, provider, provider_ref, changed_at) "
        f"VALUES ({issue}, {reader}, {issue}, '{state}', '', '{_MOMENT}', '{_MOMENT}', 1, "
        f"'', '{_MOMENT}', 'x', '', '{_MOMENT}')"
    )


def _execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _changed(statement: str) -> Callable[[Books], object]:
    return lambda books: _execute(books.database, statement)


def _person(books: Books, name: str) -> Person:
    return books.town.people[f"{name}@example.com"]


def test_sound_books_are_found_sound(books: Books) -> None:
    assert judge.judge(books) == {law: [] for law in judge.LAWS}


@pytest.mark.parametrize(
    ("law", "spoil"),
    [
        pytest.param("adds_up", _changed("UPDATE delivery SET state = 'planned' WHERE id = 2"), id="unfinished"),
        pytest.param("adds_up", _changed("UPDATE delivery SET state = 'lost' WHERE id = 2"), id="no state"),
        pytest.param("agrees_with_the_provider", lambda b: b.mails.append(b.mails[0]), id="twice"),
        pytest.param("agrees_with_the_provider", lambda b: b.mails.clear(), id="never"),
        pytest.param(
            "agrees_with_the_provider",
            lambda b: b.mails.append(Taken("1-2", "bo@example.com", DAY, ())),
            id="to who was skipped",
        ),
        pytest.param(
            "nobody_silent_is_mailed",
            lambda b: _person(b, "ada").fall_silent("unsubscribed", DAY - MINUTE),
            id="after a no",
        ),
        pytest.param(
            "nobody_is_let_go_by_looking",
            _changed("UPDATE subscriber SET state = 'unsubscribed' WHERE id = 1"),
            id="let go",
        ),
        pytest.param(
            "nobody_is_let_go_by_looking",
            lambda b: _person(b, "bo").fall_silent("erased", DAY),
            id="erased and here",
        ),
        pytest.param(
            "pieces_come_once",
            lambda b: _execute(b.database, *_issue(2), _delivery(1, "accepted", 2)),
            id="a piece twice",
        ),
        pytest.param(
            "letters_have_gone",
            _changed(
                "INSERT INTO letter (kind, address, identity_hash, details, state, reason, posted_at, try_at, "
                "attempts, claimed_by) "
                f"VALUES ('confirm', 'a', 'h', '{{}}', 'handing', '', '{_MOMENT}', '{_MOMENT}', 1, 'x')"
            ),
            id="a letter is left",
        ),
        pytest.param(
            "logs_are_clean", lambda b: (b.commands / "x.log").write_text("Traceback (most ..."), id="a traceback"
        ),
        pytest.param("logs_are_clean", lambda b: (b.logs / "x.log").write_text("key a-secret"), id="a secret"),
        pytest.param("logs_are_clean", lambda b: (b.logs / "x.log").write_text("to ada@example.com"), id="an address"),
        pytest.param(
            "logs_are_clean", lambda b: (b.logs / "x.log").write_text(f"GET /u/u.1.1.{'A' * 22}"), id="a token"
        ),
        pytest.param("answers_are_calm", lambda b: b.town.faults.append("GET / was answered with 500"), id="a 500"),
    ],
)
def test_the_judge_finds(books: Books, law: str, spoil: Callable[[Books], object]) -> None:
    spoil(books)
    assert judge.judge(books)[LAWS[law]]


def test_mail_on_its_way_when_the_no_was_answered_is_excused(books: Books) -> None:
    _person(books, "ada").fall_silent("unsubscribed", DAY + MINUTE)
    assert judge.judge(books)[LAWS["nobody_silent_is_mailed"]] == []


@pytest.mark.slow
def test_the_books_hold_after_thirty_seconds_of_storm() -> None:
    words = [sys.executable, "-m", "scripts.storm", "--seconds", "30"]
    storm = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert storm.returncode == 0, storm.stdout + storm.stderr
    assert len(re.findall(r"^ok  ", storm.stdout, re.MULTILINE)) == len(judge.LAWS) + 3
    assert re.search(r"^issues +[1-9]", storm.stdout, re.MULTILINE), storm.stdout
