"""`newsletter issues`: the owner's word on a draft."""

from __future__ import annotations

import pytest

from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import FakeClaude
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


def _pieces(owner: Owner) -> list[int]:
    return [piece["piece"] for piece in owner("issues", "show", "1", "--json").json["pieces"]]


def test_show_why_prints_every_candidate_with_the_parts_of_its_score(owner: Owner) -> None:
    owner("build", *NOW)
    out = owner("issues", "show", "1", "--why").out
    assert "Chosen" in out and "Left out" in out
    assert out.count("relevance:") == 8


def test_a_dropped_piece_leaves_and_the_next_one_moves_up(owner: Owner) -> None:
    owner("build", *NOW)
    first = _pieces(owner)
    assert owner("issues", "drop", "1", str(first[0]), *NOW).code == 0
    after = _pieces(owner)
    assert first[0] not in after and len(after) == len(first)


def test_a_pinned_piece_comes_in_and_first(owner: Owner) -> None:
    owner("build", *NOW)
    left = owner("issues", "show", "1", "--why", "--json").json["selection"]["left_out"][0]["piece"]
    owner("issues", "pin", "1", str(left), *NOW)
    assert _pieces(owner)[0] == left


def test_a_ruling_survives_the_next_build(owner: Owner) -> None:
    owner("build", *NOW)
    dropped = _pieces(owner)[0]
    owner("issues", "drop", "1", str(dropped), *NOW)
    owner("build", *NOW)
    assert dropped not in _pieces(owner)


def test_a_rejected_draft_frees_its_pieces_for_the_next_one(owner: Owner) -> None:
    owner("build", *NOW)
    first = _pieces(owner)
    assert owner("issues", "reject", "1").code == 0
    built = owner("build", "--json", *NOW).json
    assert built["issue"] == 2
    assert [piece["piece"] for piece in built["pieces"]] == first


def test_dropping_too_many_leaves_no_issue_and_says_why(owner: Owner) -> None:
    owner.site.feed("/one.xml", [owner.site.item(n) for n in range(1, 4)])
    owner("build", *NOW)
    run = owner("issues", "drop", "1", "1", *NOW)
    assert run.code == 0 and "No issue: 2 of 3 candidates are worth sending" in run.out


def test_what_is_out_can_be_changed_no_more(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    for words in (("drop", "1", "1"), ("reject", "1"), ("rebuild", "1")):
        run = owner("issues", *words, *NOW)
        assert run.code == 2 and run.err.count("\n") == 1


def test_without_any_issue_list_says_what_makes_one(owner: Owner) -> None:
    owner("fetch", *NOW)
    assert "`newsletter build` makes a draft" in owner("issues", "list").out


def _planned(owner: Owner) -> None:
    """An issue that is out, with a reader who gets it later."""
    owner.configure("/one.xml", extra="[selection]\nmax_per_source = 5\n[delivery]\nlocal_hour = 12")
    owner("build", *NOW)
    assert owner("subscribers", "add", "ada@example.com", "--consent", "on paper, today", *NOW).code == 0
    owner("send", "--yes", *NOW)


def test_an_issue_is_paused_resumed_and_cancelled_and_stays_public(owner: Owner) -> None:
    _planned(owner)
    paused = owner("issues", "pause", "1", "--json")
    assert (paused.code, paused.json["sending"], paused.json["states"]) == (0, "paused", {"planned": 1})
    assert owner("issues", "list", "--json").json["issues"][0]["sending"] == "paused"
    assert "  paused  " in owner("issues", "list").out
    assert owner("send", "1", "--yes", *NOW).code == 5
    assert owner("issues", "resume", "1").code == 0
    cancelled = owner("issues", "cancel", "1")
    assert "1 reader does not get it; its page and its pieces stay public" in cancelled.out
    listed = owner("issues", "list", "--json").json["issues"][0]
    assert (listed["state"], listed["sending"], listed["deliveries"]) == ("frozen", "cancelled", {"cancelled": 1})
    again = owner("issues", "resume", "1")
    assert again.code == 2 and "for good" in again.err


def test_a_draft_cannot_be_paused(owner: Owner) -> None:
    owner("build", *NOW)
    run = owner("issues", "pause", "1")
    assert run.code == 2 and "issue 1 is not being sent" in run.err


def test_why_tells_what_the_model_said_of_chosen_and_left_out_pieces(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude() as claude:
        owner.use_claude(claude, monkeypatch)
        owner("build", *NOW)
    said = owner("issues", "show", "1", "--why").out
    chosen, left_out = said.split("Left out")
    assert chosen.count(" measures what it says.") == 5 and left_out.count(" measures what it says.") == 3
    assert said.count("appraised by claude-test") == 8
    assert said.count("+3.20 worth: 8 of 10") == 8
