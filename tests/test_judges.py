"""The judges of our mails find what they look for, say what is missing, and have nothing against our mails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter.theme import LIGHT, Theme
from tests.judges import Mail, Verdict, mails, ours, programs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Mail:
    """The strained issue in English."""
    return next(mail for mail, _ in mails.stress(tmp_path_factory.mktemp("words")))


@pytest.mark.parametrize("rule", [ours.sizes, ours.headers, ours.links, ours.texts, ours.structure])
def test_our_rules_have_nothing_against_our_mail(rule: Callable[[Sequence[Mail]], Verdict], good: Mail) -> None:
    assert rule([good]).faults == []


@pytest.mark.parametrize(
    ("rule", "spoil", "said"),
    [
        (ours.sizes, lambda m: replace(m, html=m.html + "x" * 90_000), "HTML of"),
        (ours.sizes, lambda m: replace(m, message=m.message + b"x" * 999), "a line of"),
        (ours.sizes, lambda m: replace(m, text="x" * 73), "73 columns"),
        (ours.headers, lambda m: replace(m, message=m.message.replace(b"List-Id:", b"List-Ix:")), "List-Id"),
        (ours.headers, lambda m: replace(m, message=b"X-A: \xc3\xa4\r\n" + m.message), "not ASCII"),
        (
            ours.headers,
            lambda m: replace(m, message=m.message.replace(b"Unsubscribe: ", b"Unsubscribe: x")),
            "no https",
        ),
        (ours.links, lambda m: replace(m, html=m.html.replace('href="https', 'href="javascript', 1)), "is no link"),
        (ours.links, lambda m: replace(m, text=""), "is not in the text"),
        (ours.links, lambda m: replace(m, html=m.html.replace("</body>", "<img src='x'></body>")), "<img>"),
        (ours.links, lambda m: replace(m, html=m.html.replace("</body>", "url(https://x)</body>")), "url("),
        (ours.texts, lambda m: replace(m, text=m.text[: len(m.text) // 2]), "of the words"),
        (ours.structure, lambda m: replace(m, html=m.html.replace("<h2", "<h4").replace("</h2", "</h4")), "headings"),
        (ours.structure, lambda m: replace(m, html=m.html.replace(' role="presentation"', "")), "a table for data"),
        (ours.structure, lambda m: replace(m, html=m.html.replace('lang="en"', "", 1)), "no language"),
    ],
)
def test_our_rules_find_what_is_wrong(
    rule: Callable[[Sequence[Mail]], Verdict], spoil: Callable[[Mail], Mail], said: str, good: Mail
) -> None:
    verdict = rule([spoil(good)])
    assert verdict.state == "failed"
    assert any(said in fault for fault in verdict.faults), verdict.faults


def test_a_theme_that_cannot_be_read_is_found() -> None:
    verdict = ours.colours(Theme(light=replace(LIGHT, muted="#999999")))
    assert [fault.partition(":")[0] for fault in verdict.faults] == ["#999999 on #ffffff", "#999999 on #edf4f2"]


def test_a_judge_whose_program_is_not_there_says_so(good: Mail, tmp_path: Path) -> None:
    for verdict in (
        programs.nu([good], tmp_path, tmp_path),
        programs.caniemail([good], tmp_path, tmp_path),
        programs.strict_mjml({"x": ""}, tmp_path, tmp_path),
        programs.dkim([], tmp_path),
    ):
        assert verdict.state == "skipped" and "is not here" in verdict.skipped


@pytest.mark.slow
def test_no_judge_that_is_here_has_anything_against_our_mails(tmp_path: Path) -> None:
    """Without what npm brings, which `scripts/judge-mail` fetches; SpamAssassin and the browsers are the machine's."""
    tools, report = ROOT / ".cache" / "judges", tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.judges", "--tools", str(tools), "--report", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    verdicts = {one["judge"]: one for one in json.loads(report.read_text("utf-8"))}
    assert done.returncode == 0, done.stdout
    assert all(verdicts[name]["state"] == "ok" for name in ("sizes", "headers", "links", "structure", "contrast"))
    if shutil.which("lynx"):
        assert verdicts["lynx"]["state"] == "ok"
