"""Holds the books of a storm against each other: the ledger, the provider's count, and what people know they said."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.storm.carriers import Taken
from scripts.storm.people import BARRING, Town

GOT = ("accepted", "delivered", "bounced", "complained")
OVER = (*GOT, "failed", "skipped", "cancelled")
STATES = (*OVER, "planned", "claimed", "handing", "in_doubt")
MOST_KB = 400_000
"""Most memory of a process."""
MOST_GROWTH_KB = 60_000
"""How much larger a process may be at the end than after its first quarter."""

_TOKEN = re.compile(r"\b[cpufdan](?:\.[A-Za-z0-9_-]+)+\.[A-Za-z0-9_-]{20,}")
_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@example\.com", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Books:
    """All that there is to judge by."""

    database: Path
    mails: list[Taken]
    town: Town
    logs: Path
    commands: Path
    secrets: tuple[str, ...]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchall()


def judge(books: Books) -> dict[str, list[str]]:
    """What is wrong, by the name of each law; nothing for a law that holds."""
    return {name: list(law(books)) for name, law in LAWS.items()}


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def whole(books: Books) -> Iterator[str]:
    """The file is sound."""
    yield from (f"integrity: {line}" for (line,) in books.rows("PRAGMA integrity_check") if line != "ok")
    yield from (f"foreign key: {row}" for row in books.rows("PRAGMA foreign_key_check"))


def adds_up(books: Books) -> Iterator[str]:
    """Every delivery of every issue is in a known state, and in one that is over."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for issue, state, count in books.rows("SELECT issue_id, state, count(*) FROM delivery GROUP BY 1, 2"):
        counts[issue][state] = count
    audience = dict(books.rows("SELECT issue_id, count(DISTINCT subscriber_id) FROM delivery GROUP BY 1"))
    for issue, states in counts.items():
        if audience[issue] != sum(states[state] for state in STATES):
            yield f"issue {issue}: an audience of {audience[issue]}, and {dict(states)}"
        left = {state: count for state, count in states.items() if state not in OVER}
        if left:
            yield f"issue {issue} is not finished: {left}"


def agrees_with_the_provider(books: Books) -> Iterator[str]:
    """Whom the ledger says the provider took, it took once; whom not, it did not."""
    taken = Counter(mail.key for mail in books.mails if not mail.is_letter)
    ledger = {f"{issue}-{reader}": state for issue, reader, state in books.rows(_DELIVERIES)}
    yield from (f"{key} was taken {count} times" for key, count in taken.items() if count > 1)
    yield from (f"{key} was taken, and the ledger does not know it" for key in taken.keys() - ledger.keys())
    for key, state in ledger.items():
        if (taken[key] > 0) != (state in GOT):
            yield f"{key} is {state}, and the provider took it {taken[key]} times"


_DELIVERIES = "SELECT issue_id, subscriber_id, state FROM delivery"


def nobody_silent_is_mailed(books: Books) -> Iterator[str]:
    """No mail left to anyone after their no was answered. What was on its way at that moment is excused.

    When it left is when its hand-over was committed; a letter may go to who left, and to nobody who is barred.
    """
    left = {f"{issue}-{reader}": at for issue, reader, at in books.rows(_LEFT) if at}
    left |= {f"letter-{number}": at for number, at in books.rows("SELECT id, claimed_at FROM letter") if at}
    last = {mail.key: mail for mail in books.mails}
    for mail in last.values():
        person = books.town.people.get(mail.address)
        if person is None or mail.key not in left:
            continue
        at = _moment(left[mail.key])
        for silence in person.silences:
            if (not mail.is_letter or silence.kind in BARRING) and silence.holds(at):
                yield f"{mail.key} left at {at}, {at - silence.since} after {silence.kind}"


_LEFT = "SELECT issue_id, subscriber_id, claimed_at FROM delivery"


def nobody_is_let_go_by_looking(books: Books) -> Iterator[str]:
    """Who never said no, to nobody, is still on the list: not scanners, nor forged reports, nor imports change that.

    And who was erased is not back.
    """
    states = dict(books.rows("SELECT lower(address), state FROM subscriber"))
    for person in list(books.town.people.values()):
        state = states.get(person.address, "gone")
        if person.is_in and not person.may_be_out and state != "active":
            yield f"{person.address} never said no and is {state}"
        if any(silence.kind == "erased" for silence in person.silences) and state != "gone":
            yield f"{person.address} was erased and is {state}"


def pieces_come_once(books: Books) -> Iterator[str]:
    """A piece is in one issue, and reaches a reader once."""
    rows = books.rows(
        "SELECT piece_id, count(*) FROM issue_piece JOIN issue ON issue.id = issue_id "
        "WHERE state = 'frozen' GROUP BY 1 HAVING count(*) > 1"
    )
    yield from (f"piece {piece} is in {count} issues" for piece, count in rows)
    got = ", ".join(f"'{state}'" for state in GOT)
    rows = books.rows(
        "SELECT subscriber_id, value, count(*) FROM delivery JOIN edition ON edition.id = edition_id, "
        f"json_each(piece_ids) WHERE state IN ({got}) GROUP BY 1, 2 HAVING count(*) > 1"
    )
    yield from (f"reader {reader} got piece {piece} {count} times" for reader, piece, count in rows)


def letters_have_gone(books: Books) -> Iterator[str]:
    """No letter is stuck."""
    rows = books.rows("SELECT state, count(*) FROM letter WHERE state IN ('planned', 'handing') GROUP BY 1")
    yield from (f"{count} letters are {state}" for state, count in rows)


def logs_are_clean(books: Books) -> Iterator[str]:
    """No traceback in any log; no secret, token or address in those of processes that stay."""
    for file in sorted([*books.logs.iterdir(), *books.commands.iterdir()]):
        text = file.read_text("utf-8", errors="replace")
        if "Traceback" in text:
            yield f"{file.name}: a traceback"
        if any(secret in text for secret in books.secrets):
            yield f"{file.name}: a secret"
        stays = file.parent == books.logs
        found = (_TOKEN.search(text) or _ADDRESS.search(text)) if stays else None
        if found:
            yield f"{file.name}: {found.group()[:12]}..."


def answers_are_calm(books: Books) -> Iterator[str]:
    """No visitor was told that something is broken, or waited in vain."""
    yield from (f"{fault} ({count} times)" for fault, count in Counter(books.town.faults).items())


LAWS: dict[str, Callable[[Books], Iterator[str]]] = {
    "the database is sound": whole,
    "the ledger adds up, and every issue is finished": adds_up,
    "the provider took each mail once, and just those that the ledger says": agrees_with_the_provider,
    "nobody who said no is mailed": nobody_silent_is_mailed,
    "nobody who did not say no is let go": nobody_is_let_go_by_looking,
    "a piece comes once": pieces_come_once,
    "no letter is stuck": letters_have_gone,
    "no log holds a traceback, a secret, a token or an address": logs_are_clean,
    "no page is broken": answers_are_calm,
}
