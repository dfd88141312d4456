"""`newsletter preview`: a page that shows what would go out."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.newsletter.cli.conftest import Owner, told
from tests.newsletter.fake_claude import FakeClaude, Handler, good_data, message, send
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


@contextmanager
def _looking(owner: Owner) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a preview in a process of its own, and the process."""
    with owner.started("preview", "--json", *NOW) as process:
        yield told(process)["preview"], process


def _add(owner: Owner, address: str, *words: str) -> None:
    assert owner("subscribers", "add", address, "--consent", "Asked by mail.", *words).code == 0


def test_the_page_holds_every_edition_and_asks_for_nothing_outside(owner: Owner, tmp_path: Path) -> None:
    owner("build", *NOW)
    run = owner("preview", "--static", str(tmp_path / "p"), "--no-open", "--json", *NOW)
    page = Path(run.json["preview"]).read_text("utf-8")
    assert page.count("<iframe") == run.json["editions"]
    assert not re.search(r'<(?:img|script|link)[^>]+(?:src|href)="https?:', page)
    assert "sandbox" in page and "data-stamp=" not in page


def test_without_an_issue_it_says_what_makes_one(owner: Owner) -> None:
    owner("fetch", *NOW)
    run = owner("preview")
    assert run.code == 2 and "`newsletter build` makes a draft" in run.err


def test_a_sent_issue_can_be_looked_at_again(owner: Owner, tmp_path: Path) -> None:
    owner("send", "--yes", *NOW)
    assert owner("preview", "1", "--no-open", "--static", str(tmp_path / "p"), *NOW).code == 0


@pytest.mark.slow
def test_it_is_served_and_follows_templates_and_configuration(owner: Owner) -> None:
    owner("build", *NOW)
    config = owner.folder / "newsletter.toml"
    config.write_text(config.read_text("utf-8") + '[theme]\ntemplates = "mine"\n', "utf-8")
    template = owner.folder / "mine" / "email" / "issue.txt"
    template.parent.mkdir(parents=True)
    with _looking(owner) as (url, process):
        first, stamp = httpx.get(url), httpx.get(f"{url}stamp").text
        assert first.status_code == 200 and f'data-stamp="{stamp}"' in first.text
        assert httpx.get(url.replace("127.0.0.1", "localhost")).status_code == 200
        assert httpx.get(f"{url}edition-a.txt").text.startswith("AI Research Digest")
        template.write_text("Mine: {{ issue.title }}\n", "utf-8")
        assert httpx.get(f"{url}stamp").text != stamp
        assert httpx.get(f"{url}edition-a.txt").text.startswith("Mine: ")
        template.write_text("{% if %}", "utf-8")
        broken = httpx.get(url)
        assert f"{template}:1: " in broken.text and "data-stamp=" in broken.text
        template.unlink()
        config.write_text(
            config.read_text("utf-8").replace("templates =", 'light_ink = "#eeeeee"\ntemplates ='), "utf-8"
        )
        assert "has a contrast of 1.1 on light_paper" in httpx.get(url).text
        config.write_text(config.read_text("utf-8").replace("#eeeeee", "#000000"), "utf-8")
        assert "#000000" in httpx.get(f"{url}edition-a.html").text
        assert httpx.get(url.rsplit("/", 2)[0] + "/").status_code == 404
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and "Traceback" not in err


def test_a_reader_is_shown_their_own_mail_first(owner: Owner, tmp_path: Path) -> None:
    _add(owner, "ada@example.com")
    _add(owner, "bob@example.com")
    owner("build", *NOW)
    run = owner("preview", "--as", "Bob@example.com", "--static", str(tmp_path / "p"), "--no-open", "--json", *NOW)
    assert run.code == 0
    own = (tmp_path / "p" / "edition-own.eml").read_text("utf-8")
    assert "\nTo: bob@example.com\n" in own.replace("\r\n", "\n")
    page = (tmp_path / "p" / "index.html").read_text("utf-8")
    assert page.index("<span>bob@example.com</span>") < page.index("<span>A: 2 readers</span>")


def test_a_reader_who_gets_nothing_is_told_of_in_one_line(owner: Owner) -> None:
    _add(owner, "gone@example.com")
    _add(owner, "theory@example.com", "--topics", "theory")
    owner("subscribers", "unsubscribe", "gone@example.com")
    owner("build", *NOW)
    for address, said in (
        ("nobody@example.com", "nobody's here"),
        ("gone@example.com", "not among the readers of every issue (unsubscribed)"),
        ("theory@example.com", "no piece of it fits their topics"),
        ("not an address", "is no mail address"),
    ):
        run = owner("preview", "--as", address, *NOW)
        assert run.code == 2 and said in run.err and run.err.count("\n") == 1


@pytest.mark.slow
def test_the_page_tells_what_was_read_checked_and_left_out_of_each_piece(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=_with_one_false_claim) as claude:
        owner.use_claude(claude, monkeypatch)
        owner("build", *NOW)
        owner("preview", "--static", str(tmp_path / "p"), "--no-open", *NOW)
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
