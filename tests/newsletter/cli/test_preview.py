"""`newsletter preview`: a page that shows what would go out."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import FakeClaude, Handler, good_data, message, send
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


def test_the_page_holds_every_edition_and_asks_for_nothing_outside(owner: Owner, tmp_path: Path) -> None:
    owner("build", *NOW)
    run = owner("preview", "--out", str(tmp_path / "p"), "--no-open", "--json", *NOW)
    page = Path(run.json["preview"]).read_text("utf-8")
    assert page.count("<iframe") == run.json["editions"]
    assert not re.search(r'<(?:img|script|link)[^>]+(?:src|href)="https?:', page)
    assert "sandbox" in page


def test_without_an_issue_it_says_what_makes_one(owner: Owner) -> None:
    owner("fetch", *NOW)
    run = owner("preview")
    assert run.code == 2 and "`newsletter build` makes a draft" in run.err


def test_a_sent_issue_can_be_looked_at_again(owner: Owner, tmp_path: Path) -> None:
    owner("send", "--yes", *NOW)
    assert owner("preview", "1", "--no-open", "--out", str(tmp_path / "p"), *NOW).code == 0


def test_the_page_tells_what_was_read_checked_and_left_out_of_each_piece(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=_with_one_false_claim) as claude:
        owner.use_claude(claude, monkeypatch)
        owner("build", *NOW)
        owner("preview", "--out", str(tmp_path / "p"), "--no-open", *NOW)
    page = html.unescape((tmp_path / "p" / "index.html").read_text("utf-8"))
    (first, *_) = json.loads((tmp_path / "p" / "report.json").read_text("utf-8"))["pieces"]
    found = first["grounding"]
    assert found["words_read"] == found["words_total"] == first["words"]
    assert found["claims"] > 5 and found["quotes"] >= 3 and found["failures"] == []
    assert any("99.97" in line and "does not stand beside its quotes" in line for line in found["removed"])
    assert found["removed"][0] in page and "words read by claude claude-test" in page


def _with_one_false_claim(handler: Handler, body: dict[str, Any]) -> None:
    data = good_data(body)
    if "takeaways" in data:
        data["takeaways"][0]["sentence"] = "In the end the probe reached an accuracy of 99.97 percent."
    send(handler, 200, message(json.dumps(data)))
