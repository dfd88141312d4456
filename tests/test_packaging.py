"""The project works in each way that someone may get it: wheel, sdist, editable install, and a bare checkout.

Everything is built and installed for real, but without a network: the build backend and the dependencies are
those of the environment that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Way:
    """One way to have the newsletter: how it is started, in which environment, from where it must come."""

    command: tuple[str, ...]
    environment: dict[str, str]
    python: Path
    home: Path


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """Run a command in a bare environment (no key, no home, no path to this checkout); return its output."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, "HOME": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(target: str, source: Path, into: Path) -> Path:
    """Build a `wheel` or an `sdist` of a source tree."""
    run([sys.executable, "-P", "-m", "hatchling", "build", "--target", target, "--directory", into], source)
    (built,) = into.iterdir()
    return built


def environment(folder: Path) -> Path:
    """Make an environment that has the dependencies, but not the newsletter, and return its Python.

    The dependencies' folder is one line in a `.pth` file. The `.pth` files in that folder are not followed,
    so an editable install of the checkout, which is such a file, stays out.
    """
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / "bin" / "python"
    own = run([python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    shared = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    Path(own, "dependencies.pth").write_text("\n".join(shared) + "\n", "utf-8")
    return python


def installed(what: Sequence[str | Path], folder: Path) -> Path:
    """Install with pip into a new environment, as a user would, and return that environment's Python."""
    python = environment(folder)
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall", "--no-cache-dir")
    run([sys.executable, "-P", "-m", "pip", "--python", python, "install", *offline, *what], folder)
    return python


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(params=["wheel", "sdist", "editable", "checkout"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    folder = tmp_path / "environment"
    if request.param == "checkout":
        python = environment(folder)
        return Way((str(python), "-m", "newsletter"), {"PYTHONPATH": str(ROOT)}, python, ROOT)
    if request.param == "editable":
        python, home = installed(["--editable", ROOT], folder), ROOT
    else:
        python, home = installed([request.getfixturevalue(request.param)], folder), folder
    return Way((str(folder / "bin" / "newsletter"),), {}, python, home)


def test_the_demo_runs_from_another_folder(way: Way, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()
    where = "import newsletter, subscribers; print(newsletter.__file__, subscribers.__file__, sep='\\n')"
    files = run([way.python, "-c", where], elsewhere, **way.environment).split("\n")[:2]
    assert all(Path(file).is_relative_to(way.home) for file in files)

    run([*way.command, "demo", "--out", "shown", "--no-open"], elsewhere, **way.environment)

    assert "<html" in (elsewhere / "shown" / "preview" / "index.html").read_text("utf-8")
    mails = sorted((elsewhere / "shown" / "outbox").glob("*.eml"))
    assert len(mails) >= 2
    for mail in mails:
        message = message_from_bytes(mail.read_bytes(), policy=policy.default)
        assert message["Subject"]
        assert not message.defects


def test_the_version_is_that_of_the_package(way: Way, tmp_path: Path) -> None:
    printed = run([*way.command, "version"], tmp_path, **way.environment)
    version = run([sys.executable, "-c", "import newsletter; print(newsletter.__version__)"], ROOT).strip()
    assert version in printed


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files_below(folder: str) -> set[str]:
    """What the checkout holds below a folder, by path from the root."""
    paths = (ROOT / folder).rglob("*") if folder else ROOT.glob("*")
    kept = (path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in kept}


def test_a_wheel_holds_the_two_packages_with_the_templates_inside(wheel: Path) -> None:
    expected = files_below("newsletter") | files_below("subscribers")
    expected |= {f"newsletter/{name}" for name in files_below("templates")}
    names = names_in_wheel(wheel)
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_an_sdist_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir")
    run([sys.executable, "-P", "-m", "pip", "wheel", *offline, "--wheel-dir", tmp_path, sdist], tmp_path)
    assert names_in_wheel(tmp_path / wheel.name) == names_in_wheel(wheel)


def test_an_sdist_holds_what_its_own_scripts_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        demo = next(member for member in archive.getmembers() if member.name.endswith("/scripts/demo"))
    assert (
        files_below("scripts") | files_below("tests") | files_below("deploy") | {"constraints.txt", "pyproject.toml"}
        <= names
    )
    assert demo.mode & 0o111
