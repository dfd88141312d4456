"""The command line as a whole: help, exit codes, and how errors read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from newsletter.cli import COMMANDS, main
from tests.newsletter.cli.conftest import Owner

VENDORS = (
    "anthropic",
    "sqlmodel",
    "sqlalchemy",
    "pydantic",
    "httpx",
    "feedparser",
    "mjml",
    "jinja2",
    "sendgrid",
    "lxml",
    "trafilatura",
)


def _python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=cwd)


def test_help_names_every_command_and_loads_no_vendor_package() -> None:
    code = (
        "import sys\nfrom newsletter.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"loaded = [name for name in {VENDORS!r} if name in sys.modules]\n"
        "print('LOADED', loaded)"
    )
    run = _python("-c", code)
    assert "LOADED []" in run.stdout, run.stderr
    assert all(f"\n    {name}" in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "options everywhere" in capsys.readouterr().out


def test_every_file_of_the_folder_is_a_command() -> None:
    folder = Path(main.__code__.co_filename).parent
    assert {path.stem for path in folder.glob("[a-z]*.py")} == set(COMMANDS)


def test_no_command_prints_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: newsletter" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nonsense"], ["send", "--nonsense"], ["config", "burn"]])
def test_a_wrong_word_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2


def test_a_bad_configuration_ends_with_3_line_and_mend(owner: Owner) -> None:
    (owner.folder / "newsletter.toml").write_text("[selection]\nmin_peices = 2\n")
    run = owner("fetch")
    assert run.code == 3
    assert run.err.strip().endswith(
        "newsletter.toml:2: unknown key `selection.min_peices`; did you mean `selection.min_pieces`?"
    )
    assert run.out == ""


def test_with_json_an_error_is_json_too(owner: Owner) -> None:
    (owner.folder / "newsletter.toml").write_text("[selectoin]\n")
    run = owner("fetch", "--json")
    assert run.json["exit"] == 3


def test_a_bad_date_is_a_usage_error(owner: Owner) -> None:
    run = owner("build", "--now", "yesterday")
    assert run.code == 2 and "not an ISO date" in run.err


def test_options_stand_before_or_after_the_command(owner: Owner, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--json", "version"], ["version", "--json"]):
        assert main(words) == 0
        assert '"version"' in capsys.readouterr().out


def test_a_bug_is_one_line_and_a_traceback_only_with_debug(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("newsletter.cli.version.run", broken)
    quiet = owner("version")
    assert (quiet.code, quiet.err.strip()) == (
        1,
        "newsletter: ZeroDivisionError: oops; this is a bug, --debug shows where",
    )
    assert "Traceback" in owner("version", "--debug").err


def test_interrupted_ends_with_130(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("newsletter.cli.version.run", interrupted)
    assert owner("version").code == 130


def test_output_into_a_closed_pipe_is_no_error() -> None:
    process = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m newsletter config show | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in process.stderr and "Error" not in process.stderr


def test_an_option_may_have_a_command_s_name_for_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "build", "version", "--json"]) == 0
    assert '"version"' in capsys.readouterr().out
