"""`newsletter init`: a start that never overwrites."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from newsletter.cli import main


def test_it_makes_a_configuration_that_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "letter"
    assert main(["init", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "newsletter.toml", "secrets.env.example"]
    assert main(["config", "check", "--config", str(folder)]) == 0


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "newsletter.toml").write_text("# mine\n")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "newsletter.toml").read_text() == "# mine\n"
    assert "which was there already" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "below")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_example_of_the_secrets_holds_none(tmp_path: Path) -> None:
    main(["init", str(tmp_path), "-q"])
    lines = (tmp_path / "secrets.env.example").read_text().splitlines()
    assert all(line.startswith("#") or not line for line in lines)
    assert stat.S_IMODE((tmp_path / "newsletter.toml").stat().st_mode) & 0o022 == 0
