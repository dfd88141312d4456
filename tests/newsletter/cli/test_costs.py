"""`newsletter costs`: the accounts on a terminal and as JSON."""

from __future__ import annotations

import pytest

from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import FakeClaude
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())
COST_OF_ONE = (1000 * 3.0 + 200 * 15.0 + 500 * 0.3) / 1e6


def test_without_a_model_nothing_was_spent(owner: Owner) -> None:
    owner("build", *NOW)
    assert "nothing was spent" in owner("costs").out
    assert owner("costs", "--json").json == {"issues": [], "usd": 0}


@pytest.mark.slow
def test_an_issue_is_told_piece_by_piece_and_in_the_dry_run(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeClaude() as claude:
        owner.use_claude(claude, monkeypatch)
        owner("build", *NOW)
        found = owner("costs", "1", "--json").json
        assert [entry["calls"] for entry in found["pieces"]] == [1] * 6
        assert found["usd"] == pytest.approx(6 * COST_OF_ONE, abs=1e-6)
        assert found["input_tokens"] == 6000 and found["cache_read_tokens"] == 3000
        said = owner("costs", "1").out
        assert "all candidates: what to choose: 0.0062 USD, 1 call, 1,700 tokens" in said
        assert f"in all: {6 * COST_OF_ONE:.4f} USD, 6 calls" in said
        shown = owner("send", "--dry-run", *NOW)
        assert f"Cost       {6 * COST_OF_ONE:.4f} USD, 6 calls" in shown.out
        owner("issues", "rebuild", "1", *NOW)
        assert owner("costs", "1", "--json").json["cached"] == 1
    assert owner("costs", "--json").json["usd"] == pytest.approx(6 * COST_OF_ONE, abs=1e-6)


def test_an_issue_that_there_is_not_is_a_usage_error(owner: Owner) -> None:
    owner("build", *NOW)
    assert owner("costs", "7").code == 2
