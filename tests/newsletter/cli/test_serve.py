"""`newsletter serve` as an owner runs it, and corrections as a visitor then sees them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import newsletter
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


@contextmanager
def _serving(owner: Owner, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server in a process of its own, and the process."""
    command = [sys.executable, "-m", "newsletter", "serve", "--port", "0", "--json", *words]
    process = subprocess.Popen(
        [*command, "--config", str(owner.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(newsletter.__file__).parents[1])},
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "}\n":
                break
        yield json.loads(said)["url"], process
    finally:
        process.kill()
        process.communicate()


def test_pages_are_served_until_the_server_is_told_to_stop(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    with _serving(owner) as (url, process):
        answer = httpx.get(f"{url}issues/1")
        assert answer.status_code == 200 and "29 May 2026" in answer.text
        assert "server" not in answer.headers
        head = httpx.head(f"{url}issues/1")
        assert (head.content, head.headers["etag"]) == (b"", answer.headers["etag"])
        first = _pieces(owner)[0]
        owner("issues", "correct", "1", str(first), "--note", "It was 12, not 21.", *NOW)
        assert "It was 12, not 21." in httpx.get(f"{url}issues/1").text
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and "Traceback" not in err and "issues/1" not in err


def test_a_port_that_is_taken_is_said_in_one_line(owner: Owner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = owner("serve", "--port", str(taken.getsockname()[1]))
    assert run.code == 3 and "choose another with --host and --port" in run.err and run.err.count("\n") == 1
    assert owner("serve", "--port", "70000").code == 2


def test_a_correction_by_command_says_where_it_is_seen(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    first, second = _pieces(owner)[:2]
    run = owner("issues", "correct", "1", str(first), "--withdraw", "--note", "As its author wished.", *NOW)
    assert run.code == 0 and "https://newsletter.example.com/issues/1" in run.out
    result = owner("issues", "correct", "1", str(second), "--note", " A  note. ", "--json", *NOW).json
    assert (result["kind"], result["note"]) == ("note", "A note.")


@pytest.mark.parametrize("words", [("1", "1"), ("1", "999", "--withdraw"), ("9", "1", "--withdraw")])
def test_a_correction_that_cannot_be_made_is_refused_in_one_line(owner: Owner, words: tuple[str, ...]) -> None:
    owner("send", "--yes", *NOW)
    run = owner("issues", "correct", *words, *NOW)
    assert run.code == 2 and run.err.count("\n") == 1


def _pieces(owner: Owner) -> list[int]:
    return [piece["piece"] for piece in owner("issues", "show", "1", "--json").json["pieces"]]
