"""Runs commands as an owner does: in a folder with a configuration, against a publisher on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from newsletter.cli import main
from tests.newsletter.feeds import Publisher, publisher


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

    def configure(self, *paths: str, extra: str = "") -> None:
        """Write a configuration whose sources are these paths of the publisher."""
        sources = "".join(f'[[sources]]\nname = "Source {p}"\nurl = "{self.site.base}{p}"\n' for p in paths)
        fetching = f'[fetching]\nallow = ["127.0.0.1:{self.site.port}"]\ntimeout_seconds = 2\n'
        text = f'{fetching}[writing]\nwriter = "excerpts"\n{extra}\n{sources}'
        (self.folder / "newsletter.toml").write_text(text, "utf-8")

    @property
    def database(self) -> Path:
        """The owner's database."""
        return self.folder / "data" / "newsletter.sqlite3"


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
