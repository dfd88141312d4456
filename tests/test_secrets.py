"""No secret is ever printed: each is planted where the program takes it, and looked for in all that every command says.

All secrets hold one word, so that a part of one is found too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.cli import COMMANDS
from newsletter.config import SECRET_NAMES
from newsletter.store import open_store
from tests.newsletter.cli.conftest import Owner, owner, site
from tests.newsletter.makers import DAY

__all__ = ["owner", "site"]

WORD = "S3CRET"
NOW = ("--now", DAY.isoformat())
NOWHERE = "127.0.0.1:9"
"""A port of this machine on which nobody answers."""

SAYINGS = (
    ("version",),
    ("config", "show"),
    ("config", "show", "--json"),
    ("config", "check"),
    ("init", "{folder}/other"),
    ("sources", "list"),
    ("sources", "test", f"http://{NOWHERE}/feed"),
    ("sources", "add", f"http://{NOWHERE}/feed"),
    ("sources", "import", "{folder}/none.opml"),
    ("fetch",),
    ("build", *NOW),
    ("costs",),
    ("subscribers", "add", "ann@example.com", "--consent", "asked"),
    ("subscribers", "list"),
    ("subscribers", "show", "ann@example.com"),
    ("subscribers", "link", "ann@example.com"),
    ("subscribers", "import", "{folder}/none.csv", "--consent", "x"),
    ("subscribers", "lift", "ann@example.com", "owner"),
    ("preview", "--static", "{folder}/preview"),
    ("issues", "list"),
    ("issues", "show", "1"),
    ("issues", "show", "99"),
    ("send", "--dry-run", *NOW),
    ("send", "--sandbox", *NOW),
    ("send", "--test", "ann@example.com", *NOW),
    ("send", "1", "--yes", *NOW),
    ("run", "--once", *NOW),
    ("status",),
    ("deliveries", "list"),
    ("deliveries", "resolve", "1", "--as", "sent"),
    ("deliveries", "trust", "--yes"),
    ("events", "list"),
    ("events", "import", "{folder}/none.json"),
    ("events", "read", f"imaps://ann@{NOWHERE}/INBOX"),
    ("serve", "--port", "70000"),
    ("db", "backup"),
    ("db", "check"),
    ("db", "migrate"),
    ("db", "restore", "{folder}/none.sqlite3"),
    ("demo", "--no-open", "--out", "{folder}/demo"),
)
"""Every command in a dry way, or in one that fails."""

PROVIDERS = {
    "files": "",
    "sendgrid": "",
    "smtp": '[smtp]\nhost = "127.0.0.1"\nport = 9\nsecurity = "none"\nusername = "me"\n',
}


@pytest.fixture
def planted(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    """An owner whose every secret is planted, and whose services answer nobody."""
    for name in SECRET_NAMES:
        monkeypatch.setenv(name, f"{WORD}-{name}-0123456789abcdef")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://{NOWHERE}")
    monkeypatch.setenv("SENDGRID_HOST", f"http://{NOWHERE}")
    yield owner


def configure(owner: Owner, provider: str) -> None:
    """A configuration that asks for this provider and for Claude, with a source whose URL has a password."""
    text = f'[delivery]\nprovider = "{provider}"\nfrom_address = "d@digest.test"\npostal_address = "1 Street"\n'
    text += f'[web]\nbase_url = "http://localhost:8000"\n{PROVIDERS[provider]}'
    text += f'[[sources]]\nname = "Private"\nurl = "http://me:{WORD}-source@{NOWHERE}/feed"\n'
    owner.configure("/one.xml", extra=text)
    file = owner.folder / "newsletter.toml"
    file.write_text(file.read_text().replace('writer = "excerpts"', 'writer = "auto"\nmax_seconds_per_issue = 1'))


def said(owner: Owner, *words: str) -> str:
    """All that a command says, with everything that makes it say more."""
    run = owner(*(word.format(folder=owner.folder) for word in words), "--debug", "-v")
    return run.out + run.err


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_command_says_a_secret_whatever_fails(planted: Owner, provider: str) -> None:
    configure(planted, provider)
    assert {words[0] for words in SAYINGS} == COMMANDS.keys()
    for words in SAYINGS:
        text = said(planted, *words)
        assert WORD not in text, (words, text)
        assert text, words
    store = open_store(f"sqlite:///{planted.database}")
    with store.engine.connect() as connection:
        kept = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    store.close()
    # The URL of a source, as its owner wrote it, is what the source is known by.
    assert kept and not any(f"{WORD}-{name}" in kept for name in SECRET_NAMES)


def test_the_commonest_commands_say_no_secret(planted: Owner) -> None:
    configure(planted, "smtp")
    for words in (("config", "show"), ("config", "check"), ("fetch",), ("sources", "list"), ("status",)):
        assert WORD not in said(planted, *words), words


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("odd", ["\u00e9", "\n", " ", "\u2028x"])
def test_a_secret_with_a_character_that_none_may_have_is_not_shown_either(
    planted: Owner, monkeypatch: pytest.MonkeyPatch, name: str, odd: str
) -> None:
    configure(planted, "smtp" if "SMTP" in name else "sendgrid")
    monkeypatch.setenv(name, f"{WORD}{odd}{WORD}-0123456789")
    for words in (("config", "check"), ("subscribers", "list"), ("events", "read", f"imaps://ann@{NOWHERE}/INBOX")):
        assert WORD not in said(planted, *words), words


@pytest.mark.parametrize(
    "text",
    [
        f'[data]\ndatabase_url = "postgresql+psycopg://me:{WORD}@{NOWHERE}/x"\n',
        f'[data]\ndatabase_url = "postgresql+nosuch://me:{WORD}@{NOWHERE}/x"\n',
        f'[smtp]\npassword = "{WORD}"\n',
        f'[delivery]\napi_key = "{WORD}"\n',
        f"[delivery]\nfrom_name = {WORD}\n",
    ],
)
def test_a_password_in_the_configuration_is_not_shown(owner: Owner, text: str) -> None:
    (owner.folder / "newsletter.toml").write_text(text)
    for words in (("config", "show"), ("config", "show", "--json"), ("config", "check"), ("status",), ("db", "check")):
        assert WORD not in said(owner, *words), words
    for words in (("db", "backup"), ("db", "restore", "x"), ("fetch",)):
        assert WORD not in said(owner, *words), words


@pytest.mark.parametrize("line", [f"{WORD}", f"{WORD}==", f"sk-{WORD}=abc", f"ANTHROPIC_API_KEYS={WORD}"])
def test_a_line_of_secrets_that_is_wrong_is_named_by_its_number(owner: Owner, line: str) -> None:
    file = owner.folder / "secrets.env"
    file.write_text(f"# mine\n{line}\n")
    file.chmod(0o600)
    text = said(owner, "config", "check")
    assert f"{file}:2: " in text and WORD not in text


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here: what ps shows was not looked at")
def test_no_secret_is_in_what_ps_shows_of_a_command_and_its_children(planted: Owner) -> None:
    command = [sys.executable, "-m", "newsletter", "serve", "--port", "0", "--config", str(planted.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as serving:
        assert serving.stdout is not None and "Serving on" in serving.stdout.readline()
        shown = [Path(f"/proc/{serving.pid}/cmdline").read_bytes()]
        for task in Path(f"/proc/{serving.pid}/task").iterdir():
            children = (task / "children").read_text().split() if (task / "children").exists() else []
            shown += [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
            shown.append((task / "comm").read_bytes())
        serving.terminate()
    assert b"serve" in shown[0] and not any(WORD.encode() in one for one in shown)
    assert os.environ["NEWSLETTER_SECRET_KEY"].startswith(WORD)
