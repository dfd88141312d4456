"""The files under deploy/ start what there is, and what they start can run as they say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from newsletter import cli
from newsletter.config import ENVIRONMENT_PREFIX, keys

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROGRAM = "/opt/newsletter/bin/newsletter"
OTHER_VARIABLES = {"PATH", "PYTHONUNBUFFERED", "NEWSLETTER_CONFIG"}


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit says, by name; a name may stand several times."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each on one line, with what follows its name."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def said(name: str) -> str:
    """What the last instruction of that name says."""
    return [rest.strip() for found, rest in instructions() if found == name][-1]


def compose_commands() -> list[list[str]]:
    """The commands of the services of compose.yaml."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    return [json.loads(found) for found in re.findall(r"^ +command: (\[.*\])$", text, re.MULTILINE)]


def assert_is_a_command(words: list[str]) -> None:
    """Whether the program takes these words; the parser ends the process when it does not."""
    assert cli.parser(words).parse_args(words).command == words[0]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_what_a_unit_starts_is_a_command(unit: Path) -> None:
    (line,) = settings(unit)["ExecStart"]
    program, *words = shlex.split(line)
    assert program == PROGRAM
    assert_is_a_command(words)


def test_what_the_image_and_the_services_start_are_commands() -> None:
    assert json.loads(said("ENTRYPOINT")) == ["newsletter"]
    commands = [json.loads(said("CMD")), *compose_commands()]
    assert [words[0] for words in commands] == ["serve", "run", "serve"]
    for words in commands:
        assert_is_a_command(words)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_may_do_little_keeps_its_state_and_brings_its_secrets(unit: Path) -> None:
    said = {name: values[-1] for name, values in settings(unit).items()}
    assert said["User"] == "newsletter"
    assert said["NoNewPrivileges"] == "yes" and said["ProtectSystem"] == "strict" and said["ProtectHome"] == "yes"
    assert said["CapabilityBoundingSet"] == ""
    assert f"NEWSLETTER_DATA__FOLDER=/var/lib/{said['StateDirectory']}" in said["Environment"].split()
    assert said["EnvironmentFile"].startswith("-/etc/newsletter/")
    assert int(said["TimeoutStopSec"]) > 10, "the program may take 10 seconds to end"


def test_a_timer_starts_a_service_that_there_is() -> None:
    (timer,) = (unit for unit in UNITS if unit.suffix == ".timer")
    assert timer.with_suffix(".service") in UNITS


def test_every_variable_is_one_that_the_program_reads() -> None:
    known = OTHER_VARIABLES | {f"{ENVIRONMENT_PREFIX}{key.upper().replace('.', '__')}" for key, _, _ in keys()}
    named = {name for unit in SERVICES for name, _ in _assignments(settings(unit)["Environment"][-1])}
    named |= {name for name, _ in _assignments(said("ENV"))}
    assert named <= known


def _assignments(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in shlex.split(text))]


def test_the_image_does_not_run_as_root_and_says_whether_it_is_well() -> None:
    order = [name for name, _ in instructions()]
    assert said("USER") == "newsletter" and order.index("USER") < order.index("ENTRYPOINT")
    port = dict(_assignments(said("ENV")))["NEWSLETTER_WEB__PORT"]
    assert said("EXPOSE") == port and f"http://127.0.0.1:{port}/healthz" in said("HEALTHCHECK")


def test_the_image_is_built_from_all_that_the_package_is_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"], "pyproject.toml", "README.md"}
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert needed | {"LICENSE", "constraints.txt"} == {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in needed)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there to check units")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        # The program is not installed here, and systemd looks for it.
        (tmp_path / unit.name).write_text(unit.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    ours = [line for line in checked.stderr.splitlines() if "newsletter" in line]
    assert checked.returncode == 0 and not ours, checked.stderr
