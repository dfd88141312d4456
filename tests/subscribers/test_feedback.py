"""Facts about readers' words on pieces."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from sqlmodel import SQLModel, col

from subscribers import feedback, people
from subscribers.feedback import Votes
from subscribers.tables import Feedback
from tests.subscribers.conftest import NOW, added, steady
from tests.subscribers.plans import plans, read_through

LATER = NOW + dt.timedelta(days=1)


def test_a_readers_word_on_a_piece_is_kept_with_its_moment(session: Session) -> None:
    ann = added(session, "ann@example.com")
    assert feedback.given(session, ann.id, 7) is None
    feedback.give(session, ann.id, 7, False, now=NOW)
    session.expire_all()
    assert feedback.given(session, ann.id, 7) is False
    assert session.scalars(select(col(Feedback.at))).one() == NOW


def test_the_last_word_counts_and_counts_once(session: Session) -> None:
    ann = added(session, "ann@example.com")
    for moment, is_worth in ((NOW, True), (NOW, True), (LATER, False)):
        feedback.give(session, ann.id, 7, is_worth, now=moment)
    assert feedback.given(session, ann.id, 7) is False
    assert feedback.votes(session, [7]) == {7: Votes(worth=0, not_worth=1)}
    assert session.scalar(select(func.count()).select_from(Feedback)) == 1


def test_pieces_without_a_vote_are_left_out(session: Session) -> None:
    ann = added(session, "ann@example.com")
    feedback.give(session, ann.id, 7, True, now=NOW)
    assert feedback.votes(session, [7, 8]) == {7: Votes(worth=1)}
    assert feedback.votes(session, [8]) == feedback.votes(session, []) == {}


def test_the_word_of_who_is_erased_goes_with_them(session: Session) -> None:
    ann, bob = added(session, "ann@example.com"), added(session, "bob@example.com")
    for reader in (ann, bob):
        feedback.give(session, reader.id, 7, True, now=NOW)
    people.erase(session, ann.id, now=LATER)
    assert feedback.votes(session, [7]) == {7: Votes(worth=1)}


def test_a_word_of_nobody_is_refused_by_the_database(session: Session) -> None:
    with pytest.raises(IntegrityError):
        feedback.give(session, 4711, 7, True, now=NOW)


@settings(steady, max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), max_size=25))
def test_the_votes_are_the_last_words_counted(words: list[tuple[int, int, bool]]) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[name] for name in ("subscriber", "feedback")])
    last: dict[tuple[int, int], bool] = {}
    with Session(engine) as session:
        for reader, piece, is_worth in words:
            feedback.give(session, reader, piece, is_worth, now=NOW)
            last[reader, piece] = is_worth
        expected = {
            piece: Votes(
                sum(worth for (_, on), worth in last.items() if on == piece),
                sum(not worth for (_, on), worth in last.items() if on == piece),
            )
            for _, piece in last
        }
        assert feedback.votes(session, [1, 2, 3, 4]) == expected
    engine.dispose()


def test_votes_are_found_by_index(engine: Engine) -> None:
    told = plans(engine, lambda session: feedback.votes(session, [1, 2]))
    assert told and read_through(told) == []
