"""`newsletter build`: a draft for today, or the reason why there is none."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import FakeClaude, lavish, refusal
from tests.newsletter.feeds import Answer
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


def test_it_fetches_selects_writes_and_composes(owner: Owner) -> None:
    run = owner("build", "--json", *NOW)
    assert run.code == 0
    assert run.json["title"] == "AI Research Digest \N{EM DASH} 29 May 2026"
    assert len(run.json["pieces"]) == 5
    assert all(piece["why"] for piece in run.json["pieces"])


def test_a_second_build_of_the_same_inputs_changes_nothing(owner: Owner) -> None:
    owner("build", *NOW)
    before = owner.database.read_bytes()
    run = owner("build", "--json", *NOW)
    assert run.json["changed"] is False
    assert owner.database.read_bytes() == before


def test_sources_that_were_asked_within_the_hour_are_not_asked_again(owner: Owner) -> None:
    owner("fetch", *NOW)
    owner("build", "--now", (DAY + dt.timedelta(minutes=59)).isoformat())
    assert len(owner.site.asked) == 1
    owner("build", "--now", (DAY + dt.timedelta(minutes=61)).isoformat())
    assert len(owner.site.asked) == 2


def test_too_few_pieces_make_no_issue_and_the_reason_is_said(owner: Owner) -> None:
    owner.site.feed("/one.xml", [owner.site.item(1)])
    run = owner("build", *NOW)
    assert (run.code, run.out.splitlines()[-1]) == (
        0,
        "No issue: 1 of 1 candidates is worth sending, and an issue has at least 3.",
    )


def test_when_no_source_can_be_read_the_caller_may_try_later(owner: Owner) -> None:
    owner.site.answers["/one.xml"] = Answer(b"no", 500)
    run = owner("build", *NOW)
    assert run.code == 75 and "none of 1 sources could be read" in run.err


def test_a_source_that_fails_is_said_and_the_draft_is_made_from_the_others(owner: Owner) -> None:
    owner.configure("/one.xml", "/bad.xml", extra="[selection]\nmax_per_source = 5")
    run = owner("build", *NOW)
    assert run.code == 0 and run.err.startswith("Source /bad.xml: ")
    assert "Draft 1: " in run.out


def test_without_fetching_no_socket_is_needed(owner: Owner) -> None:
    owner("fetch", *NOW)
    asked = len(owner.site.asked)
    owner("build", "--no-fetch", "--now", (DAY + dt.timedelta(days=2)).isoformat())
    assert len(owner.site.asked) == asked


def test_claude_without_a_key_is_a_configuration_error_with_the_mend(owner: Owner) -> None:
    text = (owner.folder / "newsletter.toml").read_text().replace('writer = "excerpts"', 'writer = "claude"')
    (owner.folder / "newsletter.toml").write_text(text)
    run = owner("build", *NOW)
    assert run.code == 3 and "ANTHROPIC_API_KEY is not set" in run.err


@pytest.mark.slow
def test_with_a_key_claude_writes_from_the_whole_article_in_one_call_a_piece(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude() as claude:
        owner.use_claude(claude, monkeypatch)
        run = owner("build", "--json", *NOW)
        assert run.code == 0, run.err
        assert {piece["kind"] for piece in run.json["pieces"]} == {"digest"}
        assert len(claude.written) == 5 and len(claude.requests) == 6
        assert "layer 40 of the model" in claude.written[0].prompt
        owner("issues", "rebuild", "1", *NOW)
        assert len(claude.requests) == 6


def test_a_model_that_fails_leaves_an_issue_of_excerpts_and_the_owner_is_told(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=refusal) as claude:
        owner.use_claude(claude, monkeypatch)
        run = owner("build", "--json", *NOW)
    assert run.code == 0
    assert {piece["kind"] for piece in run.json["pieces"]} == {"excerpts"}
    assert "8 of 8 candidates scored by rule: Claude gave no appraisal" in run.err
    assert run.err.count("excerpts, since Claude gave no summary: the model declined to answer") == 5


def test_a_key_that_is_refused_stops_the_build_and_names_the_mend(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude() as claude:
        owner.use_claude(claude, monkeypatch, key="sk-wrong-secret")
        run = owner("build", *NOW)
    assert run.code == 5
    assert "ANTHROPIC_API_KEY" in run.err and "sk-wrong-secret" not in run.err


def test_a_model_without_a_price_is_a_configuration_error_unless_there_is_no_ceiling(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude() as claude:
        owner.use_claude(claude, monkeypatch)
        monkeypatch.setenv("NEWSLETTER_WRITING__MODEL", "claude-unknown")
        run = owner("build", *NOW)
        assert run.code == 3 and "there is no price of claude-unknown" in run.err and not claude.requests
        monkeypatch.setenv("NEWSLETTER_WRITING__MAX_USD_PER_ISSUE", "0")
        assert owner("build", *NOW).code == 0


def test_at_the_ceiling_the_issue_is_finished_with_excerpts_and_stays_below_it(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=lavish) as claude:
        owner.use_claude(claude, monkeypatch, "max_usd_per_issue = 0.4", "concurrency = 1")
        run = owner("build", "--json", *NOW)
        kinds = Counter(piece["kind"] for piece in run.json["pieces"])
    assert run.code == 0 and kinds["digest"] and kinds["excerpts"]
    assert "a call may cost" in run.err
    assert 0 < owner("costs", "--json").json["usd"] <= 0.4


def test_a_key_for_links_that_could_be_guessed_is_a_configuration_error(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", "short")
    run = owner("build", *NOW)
    assert run.code == 3 and "NEWSLETTER_SECRET_KEY" in run.err and "short" not in run.err
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", f"{'n' * 32}, {'o' * 32}")
    assert owner("build", *NOW).code == 0
