"""Facts about what readers ask for."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from subscribers import preferences
from subscribers.preferences import InvalidPreference, Preferences
from subscribers.tables import Format, Frequency
from tests.subscribers.conftest import NOW, added, steady

TOPICS = st.frozensets(st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,39}\Z"), max_size=8)


@steady
@given(st.none() | TOPICS)
def test_topics_come_back_from_their_column(topics: frozenset[str] | None) -> None:
    assert preferences.topics_of(preferences.follows_of(topics)) == topics


@steady
@given(TOPICS)
def test_equal_sets_are_equal_text(topics: frozenset[str]) -> None:
    again = frozenset(sorted(topics, reverse=True))
    assert preferences.follows_of(again) == preferences.follows_of(topics)


@steady
@given(TOPICS, TOPICS, TOPICS)
def test_choosing_changes_what_the_page_shows_and_keeps_the_rest(
    old: frozenset[str], known: frozenset[str], ticked: frozenset[str]
) -> None:
    chosen = preferences.choose(old, ticked & known, known)
    assert preferences.visible(chosen, known) == ticked & known
    assert chosen - known == old - known


def test_a_chosen_topic_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidPreference, match="do not exist"):
        preferences.choose(None, {"theory"}, {"safety"})


def test_a_new_topic_is_off_for_choosers_and_on_for_readers_of_everything() -> None:
    known = {"safety", "brand-new"}
    assert preferences.visible(frozenset({"safety"}), known) == frozenset({"safety"})
    assert preferences.visible(None, known) is None


def test_a_removed_topic_is_unseen_and_back_when_the_topic_is_back() -> None:
    kept = preferences.choose(frozenset({"safety", "old"}), {"safety"}, {"safety"})
    assert preferences.visible(kept, {"safety"}) == frozenset({"safety"})
    assert preferences.visible(kept, {"safety", "old"}) == frozenset({"safety", "old"})


def test_a_chooser_whose_topics_are_all_gone_is_left_with_none() -> None:
    assert preferences.is_left_with_none(frozenset({"old"}), {"safety"})
    assert preferences.is_left_with_none(frozenset(), {"safety"})
    assert not preferences.is_left_with_none(frozenset({"old", "safety"}), {"safety"})
    assert not preferences.is_left_with_none(None, set())


def test_stored_preferences_come_back(session: Session) -> None:
    subscriber = added(session, "ann@example.com")
    assert preferences.get(subscriber) == Preferences()
    wish = Preferences(
        topics=frozenset({"safety", "theory"}),
        frequency=Frequency.WEEKLY,
        paused_until=NOW + dt.timedelta(days=30),
        format=Format.TEXT,
        time_zone="Europe/Berlin",
    )
    preferences.set(session, subscriber, wish, now=NOW)
    session.expire_all()
    assert preferences.get(subscriber) == wish
    assert subscriber.follows == "safety,theory"


def test_when_the_frequency_changed_is_kept_and_nothing_else_moves_it(session: Session) -> None:
    subscriber = added(session, "ann@example.com", Preferences(frequency=Frequency.WEEKLY))
    assert subscriber.frequency_since is None
    preferences.set(session, subscriber, Preferences(frequency=Frequency.MONTHLY), now=NOW)
    later = NOW + dt.timedelta(days=1)
    preferences.set(session, subscriber, Preferences(frequency=Frequency.MONTHLY, format=Format.TEXT), now=later)
    assert subscriber.frequency_since == NOW


def test_a_pause_ends_in_the_next_year() -> None:
    paused = preferences.pause(Preferences(), NOW + dt.timedelta(days=90), now=NOW)
    assert paused.paused_until == NOW + dt.timedelta(days=90)
    for days in (-1, 0, 400):
        with pytest.raises(InvalidPreference, match="pause"):
            preferences.pause(Preferences(), NOW + dt.timedelta(days=days), now=NOW)


@pytest.mark.parametrize("topic", ["", "*", "a,b", "Ä", "UPPER", "a b", "-a", "a" * 41, "a\n"])
def test_a_topic_that_is_no_key_is_refused(topic: str) -> None:
    with pytest.raises(InvalidPreference, match="key"):
        Preferences(topics=frozenset({topic}))


def test_too_many_topics_are_refused() -> None:
    with pytest.raises(InvalidPreference, match="more than"):
        Preferences(topics=frozenset(f"t{number}" for number in range(201)))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a" * 65, "Europe", "\x00"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(InvalidPreference, match="time zone"):
        Preferences(time_zone=zone)


def test_a_pause_without_time_zone_is_refused() -> None:
    with pytest.raises(InvalidPreference, match="pause"):
        Preferences(paused_until=dt.datetime(2026, 7, 1))
