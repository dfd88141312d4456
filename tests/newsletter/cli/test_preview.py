"""`newsletter preview`: a page that shows what would go out."""

from __future__ import annotations

import re
from pathlib import Path

from tests.newsletter.cli.conftest import Owner
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
