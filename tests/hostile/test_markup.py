"""Texts that want to be more than text stay text, wherever we show them.

Each is compared with an innocent text of the same length and words in the same place: both documents are made of the
same elements, attributes, styles, scripts and comments, and their links lead to the web.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.rendering import one_line
from newsletter.store import open_store
from tests.hostile import payloads, shapes
from tests.hostile.payloads import OWN, innocent
from tests.hostile.places import Documents, Stage


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows."""
    file = tmp_path_factory.mktemp("markup") / "empty.sqlite3"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(
    scope="module", params=["own", *(pytest.param(name, marks=pytest.mark.slow) for name in payloads.NAMES)]
)
def stages(
    request: pytest.FixtureRequest, empty: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Stage, Stage]:
    """A newsletter that says a collection of payloads, and one that says innocent texts instead."""
    texts = OWN
    if request.param != "own":
        found = payloads.corpora()
        if not found:
            pytest.skip(f"CORPUS_DIR names no folder, so the payloads of {request.param} were not tried")
        texts = found[request.param]
    folder = tmp_path_factory.mktemp("stages")
    return Stage(texts, str, empty, folder), Stage(texts, innocent, empty, folder)


def stay_text(stages: tuple[Stage, Stage], make: Callable[..., Documents], *given: object) -> Documents:
    """Hold what a stage makes of the payloads to what the innocent one makes of them; return it."""
    hostile, harmless = (make(stage, *given) for stage in stages)
    assert hostile.keys() == harmless.keys()
    for place, markup in hostile.items():
        of = shapes.of_feed if place == "/feed.xml" else shapes.of_html
        made = of(markup)
        assert shapes.live(made) == [], place
        assert made == of(harmless[place]), place
    return hostile


def test_there_are_enough_of_our_own() -> None:
    assert len(set(OWN)) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("collection", payloads.NAMES)
def test_public_collections_are_read_whole(collection: str) -> None:
    found = payloads.corpora()
    if not found:
        pytest.skip("CORPUS_DIR names no folder")
    assert len(found[collection]) >= {"DOMPurify": 200, "owasp": 100, "blns": 500}[collection]


def test_a_piece_in_a_mail(stages: tuple[Stage, Stage]) -> None:
    for start, texts in stages[0].batches():
        made = stay_text(stages, Stage.mail, start, texts)
        said = shapes.words(made["mail"])
        assert [text for text in texts if " ".join(one_line(text).split()) not in said] == []


def test_a_reader_in_a_mail(stages: tuple[Stage, Stage]) -> None:
    for _, texts in stages[0].batches():
        stay_text(stages, Stage.anyone, texts)


def test_a_letter(stages: tuple[Stage, Stage]) -> None:
    for text in stages[0].texts:
        stay_text(stages, Stage.letters, text)


def test_a_piece_on_public_pages_and_in_the_feed(stages: tuple[Stage, Stage]) -> None:
    for start, texts in stages[0].batches(30):
        made = stay_text(stages, Stage.pages, start, texts)
        said = shapes.words(made["/issues/1"])
        assert [text for text in texts if " ".join(one_line(text).split()) not in said] == []


def test_a_piece_in_the_preview(stages: tuple[Stage, Stage]) -> None:
    for start, texts in stages[0].batches():
        stay_text(stages, Stage.preview, start, texts)


def test_what_a_visitor_types(stages: tuple[Stage, Stage]) -> None:
    stay_text(stages, Stage.asked, stages[0].texts)


@pytest.mark.slow
def test_what_a_reader_types(stages: tuple[Stage, Stage]) -> None:
    stay_text(stages, Stage.filled_in, stages[0].texts)
