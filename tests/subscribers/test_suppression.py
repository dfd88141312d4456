"""Facts about why an address is not mailed, and whose it is to change that."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from subscribers import suppression
from subscribers.suppression import BARRING, LIFTED_BY_PERSON, Hasher, Lifter, NotAllowed
from subscribers.tables import Kind, Pepper, Suppression
from tests.subscribers.conftest import NOW


def test_nothing_is_known_of_a_stranger_and_asking_writes_nothing(session: Session) -> None:
    assert suppression.kinds_of(session, "ann@example.com") == frozenset()
    assert session.scalar(select(func.count()).select_from(Pepper)) == 0


def test_every_kind_is_kept_beside_the_others(session: Session) -> None:
    key = suppression.hasher(session)("ann@example.com")
    assert all(suppression.put(session, key, kind, now=NOW) for kind in Kind)
    assert suppression.kinds_of(session, "ann@example.com") == frozenset(Kind)


def test_the_first_moment_and_note_of_a_kind_are_kept(session: Session) -> None:
    assert suppression.put(session, "x", Kind.COMPLAINT, now=NOW, note="first")
    assert not suppression.put(session, "x", Kind.COMPLAINT, now=NOW + dt.timedelta(days=1), note="second")
    row = session.get(Suppression, ("x", "complaint"))
    assert row is not None
    assert (row.at, row.note) == (NOW, "first")


@pytest.mark.parametrize(("lifter", "kind"), list(itertools.product(Lifter, Kind)))
def test_each_kind_is_lifted_by_the_one_it_belongs_to_alone(session: Session, lifter: Lifter, kind: Kind) -> None:
    suppression.put(session, "x", kind, now=NOW)
    if (kind in LIFTED_BY_PERSON) == (lifter is Lifter.PERSON):
        assert suppression.lift(session, "x", [kind], by=lifter) == {kind}
        assert suppression.kinds_of_hash(session, "x") == frozenset()
    else:
        with pytest.raises(NotAllowed, match="alone"):
            suppression.lift(session, "x", [kind], by=lifter)
        assert suppression.kinds_of_hash(session, "x") == {kind}


def test_lifting_one_address_leaves_the_others(session: Session) -> None:
    for key in ("x", "y"):
        suppression.put(session, key, Kind.OWNER, now=NOW)
    assert suppression.lift(session, "x", BARRING, by=Lifter.OWNER) == {Kind.OWNER}
    assert suppression.kinds_of_many(session, ["x", "y"]) == {"y": {Kind.OWNER}}


def test_lifting_what_is_not_there_lifts_nothing(session: Session) -> None:
    assert suppression.lift(session, "x", BARRING, by=Lifter.OWNER) == frozenset()


def test_every_kind_is_either_the_persons_or_the_owners() -> None:
    assert frozenset(Kind) == LIFTED_BY_PERSON | BARRING
    assert not LIFTED_BY_PERSON & BARRING


def test_a_database_makes_its_pepper_once(session: Session) -> None:
    first = suppression.hasher(session)("ann@example.com")
    session.commit()
    assert suppression.hasher(session)("ann@example.com") == first


def test_the_same_identity_hashes_differently_in_another_database() -> None:
    assert Hasher("a" * 64)("ann@example.com") != Hasher("b" * 64)("ann@example.com")


def test_hashes_have_no_address_in_them_and_differ() -> None:
    hasher = Hasher("pepper")
    hashes = {hasher(f"user{number}@example.com") for number in range(1000)}
    assert len(hashes) == 1000
    assert {len(value) for value in hashes} == {32}
    assert hasher("user0@example.com") in hashes
