"""`newsletter status`: every state that is stuck, with the command that ends it."""

from __future__ import annotations

import re
import shutil

import pytest

import subscribers
from newsletter.cli import main
from newsletter.store import open_store
from subscribers import Frequency, Letter, Preferences
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.cli.test_deliveries import NOW, Moody, moody, subscribe
from tests.newsletter.makers import DAY

__all__ = ["moody"]
LATE = ("--now", "2026-05-29T20:00:00+00:00")


def test_before_anything_was_made_it_says_what_to_do(owner: Owner) -> None:
    owner("fetch", *NOW)
    assert "`newsletter send` makes an issue" in owner("status").out


def test_a_draft_is_named(owner: Owner) -> None:
    owner("build", *NOW)
    assert "issue 1; `newsletter send 1` sends it" in owner("status").out


def test_an_issue_that_is_out_is_finished(owner: Owner, moody: Moody) -> None:
    owner("build", *NOW)
    subscribe(owner, "ada", "bob")
    owner("send", "--yes", *NOW)
    run = owner("status")
    assert re.search(r"Issue +1 \(finished, slot 2026-05-29\)", run.out)
    assert "2 of 2 (100 %): 2 accepted" in run.out
    assert "Stuck" not in run.out


def test_progress_doubts_the_last_error_and_the_next_try_are_told(owner: Owner, moody: Moody) -> None:
    owner("build", *NOW)
    subscribe(owner, "ada", "doubt1", "later1", "never1")
    owner("send", "--yes", *NOW)
    found = owner("status", "--json", *NOW).json["issues"][0]
    assert (found["number"], found["state"], found["audience"], found["done"]) == (1, "waiting", 4, 2)
    assert found["counts"] == {"planned": 1, "accepted": 1, "failed": 1, "in_doubt": 1}
    assert found["next_try"] == "2026-05-29 07:01:00+00:00" and found["last_error"]
    assert [way["commands"][0] for way in found["ways"]] == [
        "newsletter deliveries list 1 --state in_doubt",
        "newsletter deliveries list 1 --state failed",
    ]


def _letter(owner: Owner, *, failed: bool) -> None:
    """Post a letter, and have what is due fail."""
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        subscribers.post_letter(
            session, Letter("confirm", "ada@example.com", {"url": "https://example.com/c"}), now=DAY
        )
        if failed:
            for letter in subscribers.claim_letters(session, "x", 9, now=DAY, real_now=DAY):
                subscribers.letter_failed(session, letter.id, "no such mailbox")
    store.close()


def test_letters_that_wait_or_failed_are_told_each_with_the_way_out(owner: Owner) -> None:
    owner("fetch", *NOW)
    assert "Letters" not in owner("status", *NOW).out
    _letter(owner, failed=True)
    _letter(owner, failed=False)
    run = owner("status", *NOW)
    assert re.search(r"^Letters +1 waiting, 1 failed; next try 2026-05-29 07:00:00 UTC$", run.out, re.MULTILINE)
    assert re.search(r"^Stuck +letters: 1 failed: `newsletter subscribers letters`$", run.out, re.MULTILINE)
    assert owner("status", "--json", *LATE).json["letters"] == {
        "waiting": 1,
        "failed": 1,
        "next_try": "2026-05-29 07:00:00+00:00",
        "ways": [
            {"what": "letters: 1 due, and nothing hands them over", "commands": ["newsletter run --once"]},
            {"what": "letters: 1 failed", "commands": ["newsletter subscribers letters"]},
        ],
    }


def test_run_once_hands_over_the_letters_that_are_due(owner: Owner) -> None:
    owner("fetch", *NOW)
    _letter(owner, failed=False)
    assert owner("run", "--once", *LATE).code == 0
    assert owner("status", "--json", *LATE).json["letters"] == {"waiting": 0, "failed": 0, "next_try": None, "ways": []}


def _commands(owner: Owner, *now: str) -> list[str]:
    ways = owner("status", "--json", *now).json["issues"][0]["ways"]
    return [command for way in ways for command in way["commands"]]


@pytest.mark.slow
def test_every_way_out_that_is_named_is_a_command_that_there_is(owner: Owner, moody: Moody) -> None:
    owner("build", *NOW)
    subscribe(owner, "doubt1", "later1", "never1")
    owner("send", "--yes", *NOW)
    named = _commands(owner, *NOW) + _commands(owner, *LATE)
    owner("issues", "pause", "1")
    named += _commands(owner, *NOW)
    assert len(set(named)) >= 6
    for command in set(named):
        words = command.replace("sent|failed|again", "sent").split()[1:]
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert ended.value.code == 0


@pytest.mark.slow
def test_late_and_waiting_and_paused_each_have_a_way_out(owner: Owner, moody: Moody) -> None:
    owner("build", *NOW)
    subscribe(owner, "later1")
    owner("send", "--yes", *NOW)
    soon = ("--now", "2026-05-29T07:30:00+00:00")
    assert _commands(owner, *soon) == ["newsletter send 1"]
    assert _commands(owner, *LATE) == ["newsletter send 1 --late"]
    assert owner("issues", "pause", "1").code == 0
    assert _commands(owner, *LATE) == ["newsletter issues resume 1", "newsletter issues cancel 1"]
    assert owner("issues", "cancel", "1").code == 0
    found = owner("status", "--json", *LATE).json["issues"][0]
    assert (found["state"], found["counts"], found["ways"]) == ("cancelled", {"cancelled": 1}, [])


@pytest.mark.slow
def test_a_copied_folder_is_said(owner: Owner, moody: Moody) -> None:
    owner("build", *NOW)
    subscribe(owner, "ada")
    owner("send", "--yes", *NOW)
    shutil.copytree(owner.folder / "data", owner.folder / "other")
    (owner.folder / "data").rename(owner.folder / "gone")
    (owner.folder / "other").rename(owner.folder / "data")
    run = owner("status")
    assert "this data folder is a copy" in run.out.replace("\n           ", " ")


@pytest.mark.slow
def test_the_last_and_the_next_slot_of_each_kind_are_told(owner: Owner) -> None:
    schedule = '[schedule]\ncron = "0 7 * * *"\nweekly = "0 8 * * FRI"\n'
    owner.configure("/one.xml", extra=f"[selection]\nmax_per_source = 5\n{schedule}")
    owner("run", "--once", *NOW)
    out = owner("status", *NOW).out
    assert "issue: last Fri 29 May 07:00 UTC (issue 1), next Sat 30 May 07:00 UTC" in out
    assert "weekly round-up: last Fri 22 May 08:00 UTC (missed), next Fri 29 May 08:00 UTC" in out
    assert [one["kind"] for one in owner("status", "--json", *NOW).json["schedule"]] == ["every", "weekly"]


def test_readers_who_are_left_without_any_topic_are_counted(owner: Owner) -> None:
    owner("build", *NOW)
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        for name, topics in (("ada", {"gone"}), ("bob", {"gone", "safety"}), ("eve", None)):
            wishes = Preferences(topics=frozenset(topics) if topics else None, frequency=Frequency.WEEKLY)
            subscribers.add(
                session, f"{name}@example.com", now=DAY, how="test", consent_text="yes", active=True, preferences=wishes
            )
    store.close()
    assert owner("status", "--json", *NOW).json["topicless_readers"] == 1
    assert "1 follow only topics that there are no more" in owner("status", *NOW).out
