"""Round-ups: the best unread pieces, to each reader once, whatever they change."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import deliveries, issues, pipeline, previews
from newsletter.config import Config
from newsletter.issues import Published
from newsletter.providers import Refused
from newsletter.roundups import MOST_BYTES, best
from newsletter.store import Store
from newsletter.values import Edition
from subscribers import Frequency
from tests.newsletter.life import Life

SUNDAY = dt.datetime(2026, 11, 15, 7, tzinfo=dt.UTC)
"""The slot of a weekly round-up, at 8 in Berlin; issues come out an hour before."""
SAFETY, THEORY = ("safety",), ("theory",)
WEEKLY, EVERY, MONTHLY = Frequency.WEEKLY, Frequency.EVERY, Frequency.MONTHLY


def config(**schedule: Any) -> Config:
    """A newsletter of Berlin with both round-ups."""
    times = {"cron": "0 7 * * *", "weekly": "0 8 * * SUN", "monthly": "0 9 1 * *", **schedule}
    return Config.model_validate({"newsletter": {"time_zone": "Europe/Berlin"}, "schedule": times})


@pytest.fixture
def life(store: Store) -> Life:
    """A newsletter on the Sunday before its first week."""
    return Life(store, config(roundup_pieces=3), SUNDAY)


def _on(life: Life, day: int, hour: int = 6) -> Life:
    """The same, so many days after the Sunday."""
    life.now = SUNDAY.replace(hour=hour) + dt.timedelta(days=day)
    return life


def _week(life: Life) -> dict[int, tuple[int, ...]]:
    """An issue of two pieces on each day of the week; those of later days are better."""
    return {day: _on(life, day).publish((SAFETY, 5 + day / 10), (THEORY, 4 + day / 10)) for day in range(1, 8)}


def test_a_weekly_reader_gets_the_best_of_the_week_best_first_and_no_issue(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    out = _week(life)
    _on(life, 7, hour=7).round_up()
    (mail,) = life.mails("ann")
    assert mail.kind == "weekly" and mail.pieces == (out[7][0], out[6][0], out[5][0])


def test_it_fits_the_topics_and_a_reader_whom_nothing_fits_is_skipped_with_the_reason(life: Life) -> None:
    life.join("ann", frequency=WEEKLY, topics=frozenset({"theory"}))
    life.join("bob", frequency=WEEKLY, topics=frozenset({"training"}))
    life.join("cy", frequency=WEEKLY, topics=frozenset({"gone"}))
    out = _week(life)
    number = _on(life, 7, hour=7).round_up().number or 0
    assert life.pieces_of("ann") == [out[7][1], out[6][1], out[5][1]]
    with life.store.read() as session:
        assert deliveries.skips(session, number) == {
            "no unread piece fits their topics": 1,
            "follows no topic that still exists": 1,
        }


def test_the_next_round_up_has_only_what_came_out_since(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    _week(life)
    _on(life, 7, hour=7).round_up()
    late = _on(life, 9).publish((SAFETY, 1.0))
    _on(life, 14, hour=7).round_up()
    assert life.mails("ann")[1].pieces == late


def test_who_changes_to_weekly_gets_only_what_they_had_not(life: Life) -> None:
    life.join("ann")
    life.join("bob", frequency=WEEKLY)
    out = {day: _on(life, day).publish((SAFETY, 9 - day)) for day in (1, 2)}
    life.change("ann", frequency=WEEKLY)
    out |= {day: _on(life, day).publish((SAFETY, 1.0)) for day in (3, 4)}
    _on(life, 7, hour=7).round_up()
    assert life.mails("ann")[2].pieces == (*out[4], *out[3])
    assert life.pieces_of("bob") == [*out[1], *out[2], *out[4]]


def test_who_changes_to_every_issue_gets_what_they_missed_with_the_next_one(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    missed = {day: _on(life, day).publish((SAFETY, 5 + day), (THEORY, 3.0)) for day in (1, 2)}
    life.change("ann", frequency=EVERY)
    new = _on(life, 3).publish((THEORY, 2.0))
    after = _on(life, 4).publish((SAFETY, 2.0))
    _on(life, 7, hour=7).round_up()
    first, second = life.mails("ann")
    assert first.pieces == (*new, missed[2][0], missed[1][0], missed[2][1])
    assert second.pieces == after


def test_what_came_out_before_the_last_round_up_is_not_missed(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    _week(life)
    _on(life, 7, hour=7).round_up()
    life.change("ann", frequency=EVERY)
    new = _on(life, 8).publish((SAFETY, 1.0))
    assert life.mails("ann")[1].pieces == new


def test_who_joined_as_a_weekly_reader_and_changed_misses_nothing_since_they_joined(life: Life) -> None:
    _on(life, 1).publish((SAFETY, 9.0))
    _on(life, 2, hour=5).join("ann", frequency=WEEKLY)
    missed = _on(life, 2).publish((SAFETY, 8.0))
    life.change("ann", frequency=EVERY)
    new = _on(life, 3).publish((SAFETY, 1.0))
    assert life.pieces_of("ann") == [*new, *missed]


def test_a_change_there_and_back_within_a_week_repeats_and_loses_nothing(life: Life) -> None:
    life.join("ann")
    out = [_on(life, 1).publish((SAFETY, 1.0))]
    life.change("ann", frequency=WEEKLY)
    out.append(_on(life, 2).publish((SAFETY, 1.0)))
    life.change("ann", frequency=EVERY)
    out.append(_on(life, 3).publish((SAFETY, 1.0)))
    assert [mail.pieces for mail in life.mails("ann")] == [out[0], (*out[2], *out[1])]


def test_who_changes_from_monthly_to_weekly_gets_the_month_so_far(life: Life) -> None:
    life.join("ann", frequency=MONTHLY)
    life.join("bob", frequency=WEEKLY)
    early = _on(life, 1).publish((SAFETY, 9.0))
    _on(life, 7, hour=7).round_up()
    life.change("ann", frequency=WEEKLY)
    late = _on(life, 9).publish((SAFETY, 1.0))
    _on(life, 14, hour=7).round_up()
    assert life.pieces_of("ann") == [*early, *late]
    assert life.pieces_of("bob") == [*early, *late]


@pytest.mark.slow
def test_who_changes_from_weekly_to_monthly_gets_what_was_not_in_the_weekly_ones(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    out = _week(life)
    _on(life, 7, hour=7).round_up()
    life.change("ann", frequency=MONTHLY)
    life.now = dt.datetime(2026, 12, 1, 8, tzinfo=dt.UTC)
    life.round_up("monthly")
    assert life.mails("ann")[1].pieces == (out[4][0], out[3][0], out[2][0])


def test_a_pause_is_no_reason_to_make_up_for_anything(life: Life) -> None:
    life.join("ann", paused_until=SUNDAY + dt.timedelta(days=2))
    _on(life, 1).publish((SAFETY, 9.0))
    new = _on(life, 3).publish((SAFETY, 1.0))
    assert life.pieces_of("ann") == list(new)


def test_a_piece_of_a_failed_delivery_was_not_had(life: Life) -> None:
    life.join("ann")
    life.answer = lambda key: Refused(key, "mailbox full")
    lost = _on(life, 1).publish((SAFETY, 1.0))
    life.answer = Life.answer
    life.change("ann", frequency=WEEKLY)
    _on(life, 7, hour=7).round_up()
    assert life.pieces_of("ann") == list(lost)


def test_a_withdrawn_piece_is_left_out(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    life.join("bob", frequency=WEEKLY)
    bad, good = _on(life, 1).publish((SAFETY, 9.0), (SAFETY, 1.0))
    with life.store.write() as session:
        issues.correct(session, 1, bad, "It does not hold.", True, life.now)
    life.change("bob", frequency=EVERY)
    new = _on(life, 2).publish((SAFETY, 1.0))
    _on(life, 7, hour=7).round_up()
    assert life.pieces_of("ann") == [*new, good]
    assert life.pieces_of("bob") == [*new, good]


def test_a_slot_has_one_round_up(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    _week(life)
    assert _on(life, 7, hour=7).round_up().number
    again = life.round_up()
    assert again.number is None and again.is_taken


@pytest.mark.parametrize("people", [0, 1])
def test_without_readers_or_without_pieces_there_is_none_and_the_reason_is_kept(life: Life, people: int) -> None:
    if people:
        life.join("ann", frequency=WEEKLY)
    else:
        _week(life)
    built = _on(life, 7, hour=7).round_up()
    assert built.number is None
    with life.store.read() as session:
        kept = issues.empty_slot(session, "weekly 2026-11-22")
    assert kept is not None and kept.reason == built.reason == ("nothing came out" if people else "nobody reads weekly")


def test_it_is_no_part_of_the_archive_and_cannot_be_corrected(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    _week(life)
    number = _on(life, 7, hour=7).round_up().number or 0
    with life.store.read() as session:
        assert issues.public(session, number) is None
        assert number not in [mention.number for mention in issues.mentions(session)]
        assert number not in [listed.number for listed in issues.archive(session)]
        assert not list(issues.archive(session, words=["week"]))
        assert sum(issues.topic_counts(session, SUNDAY).values()) == 14
        with pytest.raises(issues.IssueError, match="round-up"):
            issues.correct(session, number, 1, "no", False, life.now)


def test_its_mail_says_which_week_why_and_where_each_piece_stands(life: Life) -> None:
    life.join("ann", frequency=WEEKLY, topics=frozenset({"safety"}))
    _week(life)
    number = _on(life, 7, hour=7).round_up().number or 0
    with life.store.read() as session:
        (shown,) = previews.prepare(life.press, session, number).editions
    text = " ".join(shown.text.split())
    assert shown.subject.endswith("Week of 16 to 22 November 2026")
    assert "because you follow safety, and asked for one mail a week." in text
    assert "/issues/7#piece-1" in text and f"/issues/{number}" not in text
    assert "View in browser" not in text and "All issues" in text
    assert (shown.minutes, shown.readers) == (2, 1)


def test_an_edition_that_makes_up_for_missed_pieces_links_to_their_own_issues_and_fits_into_a_mail(life: Life) -> None:
    life.join("ann", frequency=WEEKLY)
    _on(life, 1).publish(*[(SAFETY, 9.0)] * 3)
    life.change("ann", frequency=EVERY)
    _on(life, 2).publish(*[(SAFETY, 9.0)] * 5)
    with life.store.read() as session:
        issue = issues.load(session, 2)
        ((_, numbers),) = deliveries.editions_of(session, 2).items()
        entries = pipeline.entries_of(session, issue, [numbers])
    rendered = life.press.renderer.edition(pipeline.edition_of(issue, numbers, entries))
    html = "".join(rendered.html_form.parts)
    assert "/issues/1#piece-3" in html and "/issues/2#piece-5" in html
    assert rendered.size < MOST_BYTES


def test_a_mail_is_never_filled_beyond_what_is_shown_whole(store: Store) -> None:
    life = Life(store, config(roundup_pieces=50), SUNDAY)
    life.join("ann", frequency=WEEKLY)
    for day in range(1, 7):
        _on(life, day).publish(*[(SAFETY, 5.0)] * 8)
    number = _on(life, 7, hour=7).round_up().number or 0
    with store.read() as session:
        issue = issues.load(session, number)
        ((_, numbers),) = deliveries.editions_of(session, number).items()
        edition = pipeline.edition_of(issue, numbers, pipeline.entries_of(session, issue, [numbers]))
    assert 8 < len(numbers) < 48
    assert 45_000 < life.press.renderer.edition(edition).size < 90_000


def _published(number: int, score: float, *topics: str) -> Published:
    return Published(
        number, number // 10, number % 10, SUNDAY + dt.timedelta(days=number // 10), frozenset(topics), score
    )


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", ""])), max_size=30),
    st.sets(st.integers(0, 30)),
    st.none() | st.frozensets(st.sampled_from("ab")),
    st.integers(1, 8),
)
def test_no_piece_left_out_is_better_than_one_chosen(
    made: list[tuple[int, str]], had: set[int], follows: frozenset[str] | None, most: int
) -> None:
    pool = [_published(number, score, *filter(None, [topic])) for number, (score, topic) in enumerate(made)]
    chosen = best(pool, follows, had, most)
    by_number = {piece.number: piece for piece in pool}
    fitting = {p.number for p in pool if p.number not in had and (follows is None or p.topics & follows)}
    assert set(chosen) <= fitting and len(chosen) == min(most, len(fitting)) == len(set(chosen))
    scores = [by_number[number].score for number in chosen]
    assert scores == sorted(scores, reverse=True)
    assert all(by_number[number].score <= min(scores, default=9) for number in fitting - set(chosen))


def test_editions_of_many_readers_are_shared(life: Life) -> None:
    for number in range(30):
        life.join(f"r{number}", frequency=WEEKLY, topics=[None, frozenset({"safety"})][number % 2])
    _week(life)
    number = _on(life, 7, hour=7).round_up().number or 0
    with life.store.read() as session:
        assert len(deliveries.editions_of(session, number)) == 1
        assert deliveries.counts(session, number) == {"accepted": 30}


def test_a_draft_has_no_home_and_its_edition_is_its_own(life: Life) -> None:
    life.join("ann")
    _on(life, 1).publish((SAFETY, 1.0))
    with life.store.read() as session:
        issue = issues.load(session, 1)
    assert {entry.home for entry in Edition(issue, issue.pieces).pieces} == {None}
