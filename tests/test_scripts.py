"""The scripts set an environment up once, know when it is no longer good, and say plainly what is in the way.

A small `uv` on PATH stands for the package index: it installs a `newsletter` that prints its arguments. The
real install is what everyone who runs these tests has just done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FAKE_UV = """#!/bin/sh
echo "$*" >>"$INSTALLS"
echo "noise of an install"
[ -z "$BROKEN" ] || exit 1
printf '#!/bin/sh\\nprintf "<%%s>" newsletter "$@"\\n' >.venv/bin/newsletter
chmod +x .venv/bin/newsletter
"""


class Checkout:
    """A copy of what the scripts need, in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.installs = folder / "installs"
        self.tools = folder / "tools"
        self.home = folder / "home"
        self.root.mkdir()
        self.tools.mkdir()
        self.home.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.root)
        uv = self.tools / "uv"
        uv.write_text(FAKE_UV, "utf-8")
        uv.chmod(0o755)

    def demo(self, *arguments: str, python: str = sys.executable, **more: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/demo from another folder, with nothing of the environment that runs the tests."""
        paths = os.pathsep.join((str(self.tools), "/usr/local/bin", "/usr/bin", "/bin"))
        known = {"PATH": paths, "HOME": str(self.home), "INSTALLS": str(self.installs), "PYTHON": python}
        script = self.root / "scripts" / "demo"
        return subprocess.run(
            [str(script), *arguments],
            cwd=self.home,
            env={**known, **more},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def times_installed(self) -> int:
        """How often something was installed."""
        return len(self.installs.read_text("utf-8").splitlines()) if self.installs.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_run_installs_with_one_line_and_later_runs_say_nothing(checkout: Checkout) -> None:
    first = checkout.demo("--out", "a folder")
    assert first.stdout == "<newsletter><demo><--out><a folder>"
    assert first.stderr == "Setting up in .venv (once, about a minute) ...\n"
    second = checkout.demo()
    assert (second.returncode, second.stdout, second.stderr) == (0, "<newsletter><demo>", "")
    assert checkout.times_installed == 1


def test_another_python_on_path_leaves_a_good_environment_alone(checkout: Checkout) -> None:
    checkout.demo()
    other = checkout.tools / "python3.13"
    other.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    other.chmod(0o755)
    assert checkout.demo(python="").stdout == "<newsletter><demo>"
    assert checkout.times_installed == 1


def test_other_pins_are_a_reason_to_install_again(checkout: Checkout) -> None:
    checkout.demo()
    with (checkout.root / "constraints.txt").open("a", encoding="utf-8") as pins:
        pins.write("another-package==1.0\n")
    left = checkout.root / ".venv" / "left"
    left.touch()
    assert checkout.demo().returncode == 0
    assert checkout.times_installed == 2
    assert not left.exists()


def test_an_environment_without_a_working_python_is_made_anew(checkout: Checkout) -> None:
    checkout.demo()
    python = checkout.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert checkout.demo().stdout == "<newsletter><demo>"
    assert checkout.times_installed == 2


def test_a_half_made_environment_is_made_anew(checkout: Checkout) -> None:
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    (checkout.root / ".venv" / "bin" / "python").touch()
    assert checkout.demo().stdout == "<newsletter><demo>"


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.demo()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved here"))
    assert checkout.demo().returncode == 0
    assert checkout.times_installed == 2


def test_a_failed_install_is_shown_in_full_and_tried_again(checkout: Checkout) -> None:
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    failed = checkout.demo(BROKEN="yes", **offline)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "noise of an install" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("scripts/demo: could not set up .venv, for the reason above")
    assert checkout.demo().stdout == "<newsletter><demo>"


def test_a_wrong_python_is_one_line_with_the_mend(checkout: Checkout) -> None:
    stopped = checkout.demo(python="/bin/false")
    assert stopped.returncode == 1
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("scripts/demo: PYTHON is '/bin/false', but the newsletter needs Python 3.11 or newer")
    assert "unset PYTHON" in line


def test_no_python_at_all_is_one_line_with_the_mend(checkout: Checkout) -> None:
    for tool in ("bash", "dirname"):
        (checkout.tools / tool).symlink_to(str(shutil.which(tool)))
    stopped = checkout.demo(python="", PATH=str(checkout.tools))
    assert stopped.returncode == 1
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("scripts/demo: the newsletter needs Python 3.11 or newer")
    assert "install one" in line


@pytest.mark.parametrize("name", ["demo", "test", "check"])
def test_a_script_says_at_its_top_what_it_is_for(name: str) -> None:
    script = ROOT / "scripts" / name
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# Sets everything up and ")
    assert os.access(script, os.X_OK)
