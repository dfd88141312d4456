"""What every provider promises. It runs over all files of the folder: a new provider brings its loopback peer
here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter import providers
from newsletter.providers import Accepted, NotAllowed, Provider
from newsletter.providers.files import Files
from newsletter.values import Message

Make = Callable[[Path], Provider]
MAKERS: dict[str, Make] = {"files": lambda folder: Files(folder / "outbox")}
"""How to make each provider against a peer on this machine."""


def _message(number: int) -> Message:
    headers = (
        ("From", "digest@example.com"),
        ("To", f"r{number}@example.com"),
        ("Subject", f"Issue {number}"),
    )
    return Message(f"1-{number}", f"r{number}@example.com", headers, f"Text {number}\n", f"<p>HTML {number}</p>")


def test_every_provider_is_held_to_this_contract() -> None:
    assert set(MAKERS) == set(providers.names())


@pytest.fixture(params=providers.names())
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Provider:
    return MAKERS[request.param](tmp_path)


def test_it_says_its_name_and_how_much_a_call_takes(provider: Provider) -> None:
    assert provider.name in providers.names()
    assert provider.batch >= 1


def test_it_accepts_each_message_under_its_own_key(provider: Provider) -> None:
    outcomes = list(provider.hand_over([_message(1), _message(2)]))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert [outcome.key for outcome in outcomes] == ["1-1", "1-2"]


def test_no_message_means_no_outcome(provider: Provider) -> None:
    assert list(provider.hand_over([])) == []


def test_the_files_provider_leaves_one_file_a_message_however_often(tmp_path: Path) -> None:
    files = Files(tmp_path / "outbox")
    for _ in range(2):
        list(files.hand_over([_message(1), _message(2)]))
    assert sorted(path.name for path in (tmp_path / "outbox").iterdir()) == ["1-1.eml", "1-2.eml"]


def test_the_files_provider_that_cannot_write_takes_nothing_and_says_the_mend(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")
    with pytest.raises(NotAllowed, match=r"set delivery\.outbox"):
        list(Files(tmp_path / "outbox").hand_over([_message(1)]))
