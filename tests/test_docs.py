"""The documents that ship say what is true: output, tables, links and pictures are held to the program."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from newsletter import cli, providers, sections, sources
from newsletter.cli._exits import Exit
from newsletter.config import SECRET_NAMES, keys
from tests import docs
from tests.docs import README, ROOT

THREATS = ROOT / "docs" / "threats.md"
DOCUMENTS = (README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", THREATS)
PICTURES = {
    "mail-phone-light.png": 2 * 375,
    "mail-phone-dark.png": 2 * 375,
    "mail-desktop-light.png": 1200,
    "mail-desktop-dark.png": 1200,
    "preview.png": 1500,
}
"""Every picture and its width in pixels."""
VARIABLES = ("NEWSLETTER_CONFIG", "NEWSLETTER_DATABASE_URL", "ANTHROPIC_BASE_URL", "NO_COLOR")
MOST_PICTURE_BYTES, MOST_BYTES_OF_ALL_PICTURES = 300_000, 1_500_000


@pytest.fixture(scope="module")
def text() -> str:
    """The README."""
    return README.read_text("utf-8")


@pytest.fixture(scope="module")
def made(text: str) -> str:
    """The README as `scripts/docs` would write it now."""
    return docs.made(text)


def test_every_table_is_that_of_the_program(text: str) -> None:
    for name in docs.TABLES:
        assert docs.marked(name) in text, f"the table of {name} is old: run scripts/docs"


def test_every_console_block_shows_what_its_commands_print(text: str, made: str) -> None:
    assert docs.console_blocks(text) == docs.console_blocks(made), "run scripts/docs"


def test_the_demo_is_shown(text: str) -> None:
    shown = dict(pair for block in docs.console_blocks(text) for pair in docs.commands_of(block))
    assert shown["scripts/demo"].endswith("Preview    newsletter-demo/preview/index.html\n")
    assert f'"{docs.SETTING_UP}"' in (ROOT / "scripts" / "_environment").read_text("utf-8")


def test_what_the_tests_print_is_shown_in_its_real_shape(text: str) -> None:
    shown = dict(pair for block in docs.console_blocks(text) for pair in docs.commands_of(block))
    lines = shown[docs.TEST_COMMAND].splitlines()
    assert len(lines) == docs.CLOSING_LINES
    assert re.fullmatch(r"\d+ passed(, \d+ (skipped|deselected))* in [\d.]+s( \([\d:]+\))?", lines[-1])


def test_the_closing_lines_of_the_tests_take_the_place_of_older_ones() -> None:
    before = f"```console\n$ {docs.TEST_COMMAND}\nold\n```\nand ```\n"
    after = f"```console\n$ {docs.TEST_COMMAND}\n... [100%]\n3 passed in 1.00s\n```\nand ```\n"
    assert docs.with_tests_output(before, "first\n... [100%]\n3 passed in 1.00s\n\n") == after


def test_a_line_that_cannot_be_run_is_refused_in_a_console_block() -> None:
    with docs.shell() as run, pytest.raises(ValueError, match="sh block"):
        run("curl https://example.com")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_documented(name: str, text: str) -> None:
    assert f"| `newsletter {name}" in text


def test_every_key_has_a_row_with_a_description(text: str) -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| .* \| (.*) \|$", text, re.MULTILINE))
    assert list(rows) == [name for name, _, _ in keys()]
    assert all(rows.values())


@pytest.mark.parametrize("name", [*SECRET_NAMES, *VARIABLES])
def test_every_variable_and_secret_has_a_row(name: str, text: str) -> None:
    assert f"| `{name}` |" in text


def test_every_exit_code_has_a_row(text: str) -> None:
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [str(int(code)) for code in Exit]


def test_a_plug_in_that_the_readme_does_not_know_is_noticed(text: str) -> None:
    assert providers.names() == ("files", "sendgrid", "smtp"), "README says of each what it needs"
    assert sources.kinds() == ("arxiv", "feed"), "README, 'Five steps', says what is read"
    assert all(f'"{name}"' in text for name in sections.names())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file.read_text("utf-8")), target


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_and_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    named = re.findall(r"`((?:scripts|templates|newsletter|subscribers)/[\w./-]+)", text)
    assert not {path for path in named if not (ROOT / path).exists()}


def test_the_pictures_are_there_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs").glob("*.png")}
    assert sizes.keys() == PICTURES.keys()
    assert max(sizes.values()) <= MOST_PICTURE_BYTES
    assert sum(sizes.values()) <= MOST_BYTES_OF_ALL_PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_of_its_width_and_is_shown(name: str, text: str) -> None:
    head = (ROOT / "docs" / name).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", head[16:20])[0] == PICTURES[name]
    assert f"(docs/{name})" in text


def test_every_threat_names_tests_that_exist() -> None:
    rows = [line for line in THREATS.read_text("utf-8").splitlines() if line.startswith("| ")][2:]
    for row in rows:
        assert row.count("|") == 6, row
        proofs = re.findall(r"`(tests/[\w/.]+)?::(test_\w+)`", row.rpartition(" | ")[2])
        assert proofs and proofs[0][0], row
        file = ""
        for path, name in proofs:
            file = path or file
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), (file, name)


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
