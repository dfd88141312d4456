"""Laws that no input breaks and no test of a single module looks for: twice is once, in any order, there and back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

import subscribers
from newsletter import pieces, pipeline
from newsletter.config import Config
from newsletter.deliveries import Claimed
from newsletter.messages import to_bytes
from newsletter.pieces import canonical_url, identified
from newsletter.pipeline import Press
from newsletter.store import Store, open_store
from newsletter.store.tables import PieceRow
from newsletter.values import Edition, Piece
from newsletter.witness import NotTrusted, Witness
from subscribers import ImportPlan, Subscriber
from tests.newsletter import makers
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import press_for
from tests.subscribers.pages.conftest import read_mail

FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

WORDS = st.text("abcdefghijklmnop0123456789-_", min_size=1, max_size=8)
HOSTS = st.lists(WORDS.map(lambda word: word.strip("-_") or "a"), min_size=1, max_size=3).map(".".join)
PATHS = st.lists(WORDS, max_size=3).map("/".join)
QUERIES = st.dictionaries(WORDS.map(lambda word: f"x{word}"), WORDS, max_size=3)


# Pieces.


@given(HOSTS, PATHS, QUERIES, st.randoms(use_true_random=False))
def test_an_address_has_one_form_however_it_is_written(
    host: str, path: str, query: dict[str, str], chance: random.Random
) -> None:
    """Scheme, `www.`, port, order of the query, tracking, fragment and the slash at the end say nothing."""
    plain = canonical_url(f"https://{host}.example.com/{path}?{'&'.join(f'{k}={v}' for k, v in query.items())}")
    pairs = [*(f"{name}={value}" for name, value in query.items()), "utm_source=mail", "fbclid=x"]
    chance.shuffle(pairs)
    scheme, port = chance.choice([("http", ":80"), ("https", ":443"), ("https", "")])
    www = chance.choice(["", "www."])
    end = chance.choice(["", "/"]) if path else ""
    other = f"{scheme}://{www}{host.upper()}.Example.com{port}/{path}{end}?{'&'.join(pairs)}#{path}"
    assert canonical_url(f"  {other} ") == plain == canonical_url(plain)


def readings() -> st.SearchStrategy[list[Piece]]:
    """What a source published: some entries share their address, their guid or their words with others."""
    entry = st.builds(
        lambda number, url, guid, words: makers.piece(
            1,
            title=f"Finding {number}",
            url=f"https://forum.example.com/{url}" if url else "",
            guid=f"guid-{guid}" if guid else "",
            text=makers.prose(300, words),
            identity="",
            id=0,
        ),
        st.integers(1, 9),
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(1, 9),
    )
    return st.lists(entry, max_size=6)


@given(readings(), st.randoms(use_true_random=False))
def test_the_order_of_a_reading_changes_no_identity_and_loses_no_piece(
    reading: list[Piece], chance: random.Random
) -> None:
    shuffled = reading.copy()
    chance.shuffle(shuffled)
    one, other = identified(reading), identified(shuffled)
    assert len(one) == len(reading)
    assert all(piece.identity for piece, _ in one)
    assert sorted(names for _, names in one) == sorted(names for _, names in other)


@FEW
@given(readings())
def test_a_piece_that_is_read_again_is_known(empty: Path, tmp_path: Path, reading: list[Piece]) -> None:
    with copied(empty, tmp_path) as store:
        with store.write() as session:
            pieces.store(session, identified(reading), DAY)
        before = titles(store)
        with store.write() as session:
            pieces.store(session, identified(reading), DAY + dt.timedelta(hours=1))
        assert titles(store) == before
        assert len(before) <= len(reading) and bool(before) == bool(reading)


def titles(store: Store) -> list[str]:
    """The titles of all pieces that are kept."""
    with store.read() as session:
        return sorted(session.exec(select(PieceRow.title)).all())


# People.

PLAN = ImportPlan("They ticked the box.", {"safety": "Safety"})
LOCALS = st.sampled_from(["ann", "Bob", "c.d", "eve+x", "o'hara", "ünal", "a b", "", "=1+1", '"q"', "x" * 70])
LINES = st.lists(
    st.tuples(LOCALS, st.sampled_from(["example.com", "EXAMPLE.com", "exämple.com", "nowhere", ""]), WORDS), max_size=8
)


def sheet(lines: list[tuple[str, str, str]]) -> bytes:
    """A list as CSV."""
    made = io.StringIO()
    csv.writer(made).writerows([("email", "name"), *((f"{local}@{host}", name) for local, host, name in lines)])
    return made.getvalue().encode()


def take_in(store: Store, folder: Path, content: bytes) -> subscribers.ImportReport:
    """Import a list."""
    file = folder / "list.csv"
    file.write_bytes(content)
    return subscribers.import_people(lambda: Session(store.engine), file, PLAN, now=DAY)


def identities(store: Store) -> list[str]:
    """Who is there."""
    with store.read() as session:
        return sorted(session.exec(select(Subscriber.identity)).all())


@FEW
@given(LINES, st.randoms(use_true_random=False))
def test_a_list_counts_every_line_in_any_order_and_changes_nothing_the_second_time(
    empty: Path, tmp_path: Path, lines: list[tuple[str, str, str]], chance: random.Random
) -> None:
    shuffled = lines.copy()
    chance.shuffle(shuffled)
    found = []
    for order in (lines, shuffled):
        with copied(empty, tmp_path) as store:
            first, people = take_in(store, tmp_path, sheet(order)), identities(store)
            parts = (first.added, first.known, first.duplicates, first.left, first.barred, first.refused)
            assert (first.lines, first.added) == (sum(parts), len(people))
            again = take_in(store, tmp_path, sheet(order))
            assert (again.added, identities(store)) == (0, people)
            found.append((people, first.lines, first.refused))
    assert found[0] == found[1]


@FEW
@given(LINES)
def test_what_is_written_out_comes_in_again_elsewhere(
    empty: Path, tmp_path: Path, lines: list[tuple[str, str, str]]
) -> None:
    with copied(empty, tmp_path) as store:
        take_in(store, tmp_path, sheet(lines))
        people, out = identities(store), io.StringIO(newline="")
        with store.read() as session:
            subscribers.export_people(session, out)
    with copied(empty, tmp_path) as elsewhere:
        report = take_in(elsewhere, tmp_path, out.getvalue().encode())
        assert (identities(elsewhere), report.refused) == (people, 0)


@FEW
@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_no_message_holds_anything_of_another_reader(press: Press, numbers: list[int], chance: random.Random) -> None:
    issue = makers.issue()
    mould = pipeline.mould(press, issue, Edition(issue, issue.pieces))
    readers = [
        Claimed(n, 1, n, 1, f"reader-{n}-x@example.com", f"Name{n}x", chance.random() < 0.3, frozenset({"safety"}))
        for n in numbers
    ]
    for claimed in readers:
        mail = read_mail(to_bytes(pipeline.address(press, issue, mould, claimed)))
        bodies = (str(part.get_content()) for part in mail.walk() if not part.is_multipart())
        said = " ".join([*map(str, mail.values()), *bodies])
        assert f"reader-{claimed.subscriber_id}-x@example.com" in said
        for other in readers:
            way_out = press.tokens.sign(subscribers.Purpose.UNSUBSCRIBE, other.subscriber_id, 1)
            own = press.tokens.sign(subscribers.Purpose.PREFERENCES, other.subscriber_id)
            assert (other is claimed) == (way_out in said) == (own in said)
            assert other is claimed or f"reader-{other.subscriber_id}-x" not in said


# The witness.


@FEW
@given(st.binary(max_size=120), st.integers(1, 10**6))
@example(b"newsletter witness: ledger 0123456789abcdef, hand-over 000000000007, inode 00000000000000000001\n", 7)
def test_no_other_bytes_are_a_witness(tmp_path: Path, content: bytes, handed: int) -> None:
    file = tmp_path / "witness"
    file.write_bytes(content)
    with pytest.raises(NotTrusted):
        Witness(file).check("0123456789abcdef", handed)
    Witness(file).replace("0123456789abcdef", handed)
    Witness(file).check("0123456789abcdef", handed)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows."""
    file = tmp_path_factory.mktemp("laws") / "empty.sqlite3"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="module")
def press(empty: Path) -> Iterator[Press]:
    """The parts of a newsletter."""
    store = open_store(f"sqlite:///{empty}")
    yield press_for(store, Config())
    store.close()


@contextmanager
def copied(empty: Path, folder: Path) -> Iterator[Store]:
    """A database of its own, for one example."""
    file = folder / "one.sqlite3"
    for old in folder.glob("one.sqlite3*"):
        old.unlink()
    shutil.copy(empty, file)
    store = open_store(f"sqlite:///{file}")
    try:
        yield store
    finally:
        store.close()
