"""Keeps the house in order: what the design says of modules, vendors and words, checked on the files.

The direction of imports is import-linter's work (pyproject.toml); here is what it cannot say.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("newsletter", "subscribers")

VENDORS = {
    "alembic": "newsletter.store",
    "anthropic": "newsletter.claude",
    "cronsim": "newsletter.slots",
    "cryptography": "newsletter.events.sendgrid",
    "dkim": "newsletter.providers.smtp",
    "email_validator": "subscribers.addresses",
    "feedparser": "newsletter.sources.feed",
    "httpcore": "newsletter.fetching",
    "httpx": "newsletter.fetching",
    "httpx2": "newsletter.claude",
    "itsdangerous": "subscribers.tokens",
    "jinja2": "newsletter.rendering",
    "lxml": "newsletter.fulltext",
    "markupsafe": "newsletter.rendering",
    "mjml": "newsletter.rendering",
    "orjson": "newsletter.providers.sendgrid",
    "pydantic": "newsletter.config",
    "python_http_client": "newsletter.providers.sendgrid",
    "sendgrid": "newsletter.providers.sendgrid",
    "starlette": "newsletter.web subscribers.pages",
    "trafilatura": "newsletter.fulltext",
    "uvicorn": "newsletter.cli.serve",
}
"""Who may import a vendor's package: one module or folder each, and the web has two, since each package brings its
pages. Errors of `httpx2` escape `anthropic`."""

SHARED = {"sqlalchemy", "sqlmodel"}
"""The database is the one vendor that many modules speak to."""


def modules(*folders: str) -> list[Path]:
    """Every Python file below these folders of the checkout, in a fixed order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """The absolute names of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@functools.cache
def third_party(path: Path) -> set[str]:
    """The top names that a file imports from neither Python nor this project."""
    ours = {*PACKAGES, "scripts", "tests", "__future__"}
    return {name.partition(".")[0] for name in imported(path)} - sys.stdlib_module_names - ours


def tracked_texts() -> Iterator[Path]:
    """Every text file that the project is made of."""
    folders = (*PACKAGES, "tests", "templates", "scripts", ".ci", "docs", "deploy")
    yield from (path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".txt"} and path.is_file())
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".png", ".jpg", ".gif"}:
            yield path


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_a_module_opens_with_a_sentence_on_what_it_is_for(path: Path) -> None:
    opening = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0]
    assert len(opening.split()) >= 5, "a stranger cannot tell what this is for"
    assert opening.endswith((".", "?", "!")), "the first paragraph of the docstring is no sentence"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_imported_by_its_one_module(vendor: str) -> None:
    importers = {name_of(path) for path in modules(*PACKAGES) if vendor in third_party(path)}
    owners = VENDORS[vendor].split()
    assert importers
    assert all(any(f"{name}.".startswith(f"{owner}.") for owner in owners) for name in importers), importers


def test_every_vendor_has_a_module_of_its_own() -> None:
    """A new dependency is placed in `VENDORS` on purpose, not spread by accident."""
    vendors = {name for path in modules(*PACKAGES) for name in third_party(path)}
    assert vendors - SHARED == VENDORS.keys()


def test_every_imported_package_is_a_named_dependency() -> None:
    """What only comes along with another package may go away with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra in ("test", "browser") for line in project["optional-dependencies"][extra]]
    named = {normal(re.split(r"[^\w.-]", line)[0]) for line in [*project["dependencies"], *extras]}
    providers = packages_distributions()
    for path in modules(*PACKAGES, "tests"):
        for package in third_party(path):
            # What only tests/browser imports, scripts/test does not install.
            ours = {normal(one) for one in providers.get(package, [package])}
            assert named & ours, f"{name_of(path)} imports {package}"


def normal(distribution: str) -> str:
    """A distribution's name as the packaging specification compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_pins_fit_the_dependencies_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+!]+( ; .+)?", pin) for pin in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {normal(re.split(r"[^\w.-]", line)[0]) for line in wanted} - {project["name"]}
    assert names <= {pin.partition("==")[0] for pin in pins}


def test_no_file_names_a_machine_or_a_package_index() -> None:
    """What works on one machine alone has no place here. (In parts here, not to find themselves.)"""
    folders = "|".join(("wor" + "k", "roo" + "t", "hom" + "e/[a-z]+", "Use" + "rs/[a-z]+"))
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)"))
    forbidden = re.compile(rf"(?<![\w./-])/(?:{folders})/|{hosts}")
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_texts()
        if (match := forbidden.search(path.read_text("utf-8", errors="replace")))
    }
    assert not found


@pytest.mark.parametrize(
    "path",
    [path for path in modules("tests/newsletter", "tests/subscribers") if path.match("test_*.py")],
    ids=name_of,
)
def test_a_test_file_mirrors_what_it_tests(path: Path) -> None:
    """`tests/a/test_b.py` tests `a/b.py` or `a/b/`; `test_a.py` and `test_main.py`, its front."""
    folder = ROOT / path.parent.relative_to(ROOT / "tests")
    name = path.stem.removeprefix("test_")
    is_front = name in {folder.name, "main"} and (folder / "__init__.py").is_file()
    assert is_front or (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


def test_every_folder_of_tests_is_a_package() -> None:
    """Else two files of one name in different folders cannot both be collected."""
    folders = {path.parent for path in modules("tests")}
    assert not {folder for folder in folders if not (folder / "__init__.py").is_file()}
