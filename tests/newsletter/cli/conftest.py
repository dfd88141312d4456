"""Runs commands as an owner does: in a folder with a configuration, against a publisher on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import newsletter
from newsletter.cli import main
from tests.newsletter.fake_claude import KEY, MODEL, FakeClaude
from tests.newsletter.feeds import Publisher, publisher

EXCERPTS = 'writer = "excerpts"'


@dataclass
class Run:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result as --json printed it."""
        return json.loads(self.out)


@dataclass
class Owner:
    """An owner's folder, and the publisher whose feeds it names."""

    folder: Path
    site: Publisher
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Run:
        """Run a command with this folder's configuration."""
        self.capsys.readouterr()
        code = main([*words, "--config", str(self.folder)])
        out, err = self.capsys.readouterr()
        return Run(code, out, err)

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A command that stays, as a process of its own; killed at the end when it is still there."""
        process = subprocess.Popen(
            [sys.executable, "-m", "newsletter", *words, "--config", str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(newsletter.__file__).parents[1])},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def configure(self, *paths: str, extra: str = "") -> None:
        """Write a configuration whose sources are these paths of the publisher."""
        sources = "".join(f'[[sources]]\nname = "Source {p}"\nurl = "{self.site.base}{p}"\n' for p in paths)
        fetching = f'[fetching]\nallow = ["127.0.0.1:{self.site.port}"]\ntimeout_seconds = 2\n'
        text = f"{fetching}[writing]\n{EXCERPTS}\n{extra}\n{sources}"
        (self.folder / "newsletter.toml").write_text(text, "utf-8")

    def use_claude(self, service: FakeClaude, monkeypatch: pytest.MonkeyPatch, *writing: str, key: str = KEY) -> None:
        """Have a model of this service write, with these further lines in the table of writing."""
        file = self.folder / "newsletter.toml"
        model = f'writer = "auto"\nmodel = "{MODEL}"\ntriage_model = "{MODEL}"\n' + "\n".join(writing)
        price = f'[[prices]]\nmodel = "{MODEL}"\ninput = 3\noutput = 15\ncache_write = 3.75\ncache_read = 0.3\n'
        file.write_text(f"{file.read_text('utf-8').replace(EXCERPTS, model)}\n{price}", "utf-8")
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", service.base_url)

    @property
    def database(self) -> Path:
        """The owner's database."""
        return self.folder / "data" / "newsletter.sqlite3"


def told(process: subprocess.Popen[str]) -> Any:
    """What a started command says first, as --json prints it."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            break
    return json.loads(said)


@pytest.fixture
def site() -> Iterator[Publisher]:
    """A publisher on loopback."""
    with publisher() as served:
        yield served


@pytest.fixture
def owner(tmp_path: Path, site: Publisher, capsys: pytest.CaptureFixture[str]) -> Owner:
    """An owner with one source of eight pieces."""
    made = Owner(tmp_path, site, capsys)
    site.feed("/one.xml", [site.item(n) for n in range(1, 9)])
    made.configure("/one.xml", extra="[selection]\nmax_per_source = 5")
    return made
