"""`newsletter version`."""

from __future__ import annotations

from newsletter import __version__
from tests.newsletter.cli.conftest import Owner


def test_it_prints_the_version(owner: Owner) -> None:
    assert owner("version").out.startswith(f"newsletter {__version__} (Python 3.")
    assert owner("version", "--json").json["version"] == __version__
