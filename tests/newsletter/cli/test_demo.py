"""`newsletter demo`: the whole job on the samples, the same every time."""

from __future__ import annotations

import email
import email.policy
import json
from email.message import EmailMessage
from pathlib import Path

import pytest

from newsletter import samples
from newsletter.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the demo made."""
    folder = tmp_path_factory.mktemp("demo") / "out with a space"
    assert main(["demo", "--out", str(folder), "--no-open", "-q"]) == 0
    return folder


@pytest.fixture
def mails(made: Path) -> list[EmailMessage]:
    """The mails of the outbox."""
    parsed = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
        for path in sorted((made / "outbox").glob("*.eml"))
    ]
    return [mail for mail in parsed if isinstance(mail, EmailMessage)]


@pytest.mark.slow
def test_every_sample_reader_gets_one_mail(mails: list[EmailMessage]) -> None:
    assert sorted(str(mail["To"]) for mail in mails) == sorted(reader.address for reader in samples.SUBSCRIBERS)


def test_the_readers_get_several_editions(made: Path, mails: list[EmailMessage]) -> None:
    report = json.loads((made / "preview" / "report.json").read_text())
    assert len(report["editions"]) >= 3
    assert len({str(mail["Subject"]) for mail in mails}) >= 2


def test_who_asked_for_text_gets_text(mails: list[EmailMessage]) -> None:
    texts = {reader.address for reader in samples.SUBSCRIBERS if reader.format == "text"}
    assert {str(mail["To"]) for mail in mails if mail.get_content_type() == "text/plain"} == texts


def test_the_near_duplicate_the_old_and_the_worthless_piece_stay_out(made: Path) -> None:
    report = json.loads((made / "preview" / "report.json").read_text())
    left = {choice["title"]: choice["why"] for choice in report["left_out"]}
    assert any("Sponsored" in title for title in left)
    assert any("more than 30 days ago" in why for why in left.values())
    everything = [piece["title"] for piece in report["pieces"]] + list(left)
    assert sum("Nine points from a timeout" in title for title in everything) == 1


def test_a_description_only_item_is_read_from_its_page(made: Path) -> None:
    report = json.loads((made / "preview" / "report.json").read_text())
    texts = {piece["text"] for piece in report["pieces"]}
    assert texts <= {"feed", "page"}


def test_all_checks_of_the_report_hold(made: Path) -> None:
    report = json.loads((made / "preview" / "report.json").read_text())
    assert [check["name"] for check in report["checks"] if not check["ok"]] == []
    assert all(edition["bytes"]["html"] <= 90_000 for edition in report["editions"])


def test_a_second_run_makes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    key = (made / "links.key").read_bytes()
    before = {path.name: path.read_bytes() for path in (made / "preview").iterdir()}
    assert main(["demo", "--out", str(made), "--no-open", "-q"]) == 0
    assert {path.name: path.read_bytes() for path in (made / "preview").iterdir()} == before
    assert (made / "links.key").read_bytes() != key


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path), "--no-open"]) == 2
    assert "no demo made" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_with_json_stdout_is_one_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "d"), "--no-open", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["states"] == {"accepted": 5}
