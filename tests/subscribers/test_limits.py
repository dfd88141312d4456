"""Facts about limits: exact, remembered over a restart and midnight, and nothing in the table that names anyone."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from sqlmodel import SQLModel

from newsletter.store import Store, open_store
from subscribers import limits
from subscribers.limits import ONE_ADDRESS, ONE_NETWORK, OWN_LETTERS, Limit, allow, network_of
from subscribers.tables import Attempt, Salt
from tests.subscribers.conftest import NOW, steady
from tests.subscribers.plans import plans, read_through

TICK = dt.timedelta(microseconds=1)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
MIDNIGHT = dt.datetime(2026, 5, 5, tzinfo=dt.UTC)


def ask(session: Session, who: str, at: dt.datetime, limit: Limit = ONE_ADDRESS) -> bool:
    return allow(session, [(limit, who)], now=at)


def count(session: Session, table: type[SQLModel]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_the_limits_are_those_that_the_product_promises() -> None:
    assert (ONE_ADDRESS.most, ONE_ADDRESS.within) == (1, 15 * MINUTE)
    assert (ONE_NETWORK.most, ONE_NETWORK.within) == (5, HOUR)
    assert (OWN_LETTERS.most, OWN_LETTERS.within) == (3, HOUR)


@pytest.mark.parametrize("limit", [ONE_ADDRESS, ONE_NETWORK, OWN_LETTERS], ids=lambda limit: limit.name)
def test_a_limit_holds_to_the_microsecond(session: Session, limit: Limit) -> None:
    moments = [NOW + number * TICK for number in range(limit.most)]
    assert all(ask(session, "x", at, limit) for at in moments)
    assert not ask(session, "x", NOW + limit.within - TICK, limit)
    assert ask(session, "x", NOW + limit.within, limit)
    assert not ask(session, "x", NOW + limit.within, limit) or limit.most == 1


def test_each_subject_and_each_limit_is_counted_by_itself(session: Session) -> None:
    assert ask(session, "a@example.com", NOW) and ask(session, "b@example.com", NOW)
    assert ask(session, "a@example.com", NOW, OWN_LETTERS)
    assert not ask(session, "a@example.com", NOW)
    assert ask(session, "c@example.com", NOW, OWN_LETTERS) and ask(session, "c@example.com", NOW)


def test_what_is_refused_is_not_counted_for_anyone(session: Session) -> None:
    assert ask(session, "ann@example.com", NOW)
    for number in range(20):
        wanted = [(ONE_ADDRESS, "ann@example.com"), (ONE_NETWORK, "192.0.2.7")]
        assert not allow(session, wanted, now=NOW + number * TICK)
    assert count(session, Attempt) == 1
    assert all(ask(session, "192.0.2.7", NOW, ONE_NETWORK) for _ in range(5))
    assert ask(session, "ann@example.com", NOW + 15 * MINUTE)


def test_what_is_allowed_is_counted_for_everyone_it_concerns(session: Session) -> None:
    for number in range(5):
        assert allow(session, [(ONE_ADDRESS, f"u{number}"), (ONE_NETWORK, "192.0.2.7")], now=NOW)
    assert not allow(session, [(ONE_ADDRESS, "u5"), (ONE_NETWORK, "192.0.2.7")], now=NOW)
    assert allow(session, [(ONE_ADDRESS, "u5"), (ONE_NETWORK, "192.0.2.8")], now=NOW)


@pytest.mark.parametrize("hours", [-11, 0, 5])
def test_midnight_forgets_nothing_whatever_the_zone_of_the_clock(session: Session, hours: int) -> None:
    zone = dt.timezone(dt.timedelta(hours=hours))
    before, after = (MIDNIGHT - MINUTE).astimezone(zone), (MIDNIGHT + MINUTE).astimezone(zone)
    assert ask(session, "ann@example.com", before)
    assert not ask(session, "ann@example.com", after)
    assert count(session, Salt) == 2
    assert ask(session, "ann@example.com", before + 15 * MINUTE)
    assert not ask(session, "ann@example.com", before + 16 * MINUTE)


def test_a_limit_of_a_whole_day_holds_over_midnight(session: Session) -> None:
    daily = Limit("daily", 1, DAY)
    assert ask(session, "x", NOW, daily)
    assert not ask(session, "x", NOW + DAY - TICK, daily)
    assert ask(session, "x", NOW + DAY, daily)


def test_each_day_has_a_salt_of_its_own_so_days_cannot_be_compared(session: Session) -> None:
    for day in range(2):
        assert ask(session, "ann@example.com", NOW + day * DAY)
    subjects = session.scalars(select(Attempt.subject)).all()  # type: ignore[call-overload]  # a column to SQLAlchemy, a str to mypy
    assert len(set(subjects)) == len(subjects)
    assert len(set(session.scalars(select(Salt.value)))) == 2  # type: ignore[call-overload]  # as above


def test_a_restart_forgets_nothing(engine: Engine) -> None:
    with Session(engine) as session:
        assert ask(session, "ann@example.com", NOW)
        session.commit()
    engine.dispose()
    again = create_engine(engine.url)
    with Session(again) as session:
        assert not ask(session, "ann@example.com", NOW + MINUTE)
    again.dispose()


def test_what_is_rolled_back_was_never_done(engine: Engine) -> None:
    with Session(engine) as session:
        assert ask(session, "ann@example.com", NOW)
        session.rollback()
        assert ask(session, "ann@example.com", NOW)


def test_the_tables_hold_neither_address_nor_network(engine: Engine) -> None:
    who = ["Ann.Example@example.com", "192.0.2.7", "2001:db8:1:2::/64"]
    with Session(engine) as session:
        assert allow(session, [(ONE_ADDRESS, who[0]), (ONE_NETWORK, who[1]), (OWN_LETTERS, who[2])], now=NOW)
        session.commit()
        rows = [str(tuple(row)) for row in session.execute(select(SQLModel.metadata.tables["attempt"]))]
        assert len(rows) == 3
    stored = Path(engine.url.database or "").read_bytes().lower()
    assert [one for one in who if one.lower().encode() in stored or one.split("@")[0].lower().encode() in stored] == []


def test_what_no_limit_asks_for_any_more_goes(session: Session) -> None:
    assert ask(session, "a", NOW) and ask(session, "b", NOW + DAY)
    limits.tidy(session, now=NOW + DAY + TICK)
    assert (count(session, Salt), count(session, Attempt)) == (2, 1)
    limits.tidy(session, now=NOW + 2 * DAY)
    assert (count(session, Salt), count(session, Attempt)) == (1, 1)
    limits.tidy(session, now=NOW + 3 * DAY)
    assert (count(session, Salt), count(session, Attempt)) == (0, 0)


def test_the_first_one_of_a_day_sweeps_up_after_the_days_before(session: Session) -> None:
    for day in range(5):
        assert ask(session, "a", NOW + day * (DAY + MINUTE))
    assert (count(session, Salt), count(session, Attempt)) == (2, 1)


def test_tidying_lets_nobody_in_early(session: Session) -> None:
    daily = Limit("daily", 1, DAY)
    assert ask(session, "x", NOW, daily)
    limits.tidy(session, now=NOW + DAY - TICK)
    assert not ask(session, "x", NOW + DAY - TICK, daily)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("192.0.2.7:4711", "unknown"),
        ("192.0.2.7, 198.51.100.1", "unknown"),
        ("192.0.2.007", "unknown"),
    ],
)
def test_a_network_is_an_ipv4_address_or_an_ipv6_prefix_of_64_bits(address: str, network: str) -> None:
    assert network_of(address) == network


@given(prefix=st.integers(0, 2**64 - 1), hosts=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2))
def test_every_host_of_an_ipv6_network_is_one_visitor(prefix: int, hosts: list[int]) -> None:
    if prefix == 0:  # The block of addresses that stand for IPv4 ones is there.
        prefix = 1
    pieces = [[(part >> shift) & 0xFFFF for shift in (48, 32, 16, 0)] for part in (prefix, *hosts)]
    one, other = (":".join(f"{group:x}" for group in pieces[0] + host) for host in pieces[1:])
    assert network_of(one) == network_of(other)


@settings(steady, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 40)), max_size=40))
def test_in_no_window_is_more_allowed_than_the_limit_says_and_never_less(steps: list[tuple[str, int]]) -> None:
    """Against the plain law: refused exactly when so many were allowed within the time before."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[name] for name in ("salt", "attempt")])
    limit, at = Limit("some", 2, HOUR), MIDNIGHT - 2 * HOUR
    allowed: dict[str, list[dt.datetime]] = {"a": [], "b": []}
    with Session(engine) as session:
        for who, minutes in steps:
            at += minutes * MINUTE
            recent = [moment for moment in allowed[who] if moment > at - limit.within]
            assert ask(session, who, at, limit) is (len(recent) < limit.most)
            if len(recent) < limit.most:
                allowed[who].append(at)
    engine.dispose()


def test_counting_goes_by_index_and_reads_no_table_through(engine: Engine) -> None:
    told = plans(engine, lambda session: ask(session, "ann@example.com", NOW))
    assert any("ix_attempt_subject_at" in line for line in told)
    assert any("ix_attempt_at" in line for line in told)
    assert read_through(told) == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database as the product opens it."""
    opened = open_store(f"sqlite:///{tmp_path / 'limits.sqlite3'}")
    yield opened
    opened.close()


def test_of_many_at_once_exactly_as_many_pass_as_the_limit_says(store: Store) -> None:
    passed: list[bool] = []
    together = threading.Barrier(8)

    def knock() -> None:
        together.wait()
        with store.write() as session:
            passed.append(allow(session, [(ONE_ADDRESS, "ann@example.com"), (ONE_NETWORK, "192.0.2.7")], now=NOW))

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passed) == [False] * 7 + [True]
