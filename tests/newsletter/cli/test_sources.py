"""`newsletter sources`: the list grows without losing a line of the owner's."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.cli.sources import feeds_of_opml
from newsletter.config import load
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.makers import DAY


def test_list_says_when_each_was_read(owner: Owner) -> None:
    assert "never read; `newsletter fetch` reads it" in owner("sources", "list").out
    owner("fetch", "--now", DAY.isoformat())
    assert "last read 2026-05-29 07:00 UTC" in owner("sources", "list").out


def test_test_shows_what_a_feed_holds_and_stores_nothing(owner: Owner) -> None:
    run = owner("sources", "test", f"{owner.site.base}/one.xml")
    assert run.code == 0 and run.out.startswith("Feed /one.xml (feed): 8 pieces")
    assert not owner.database.exists()


def test_add_reads_the_feed_and_takes_its_title(owner: Owner) -> None:
    before = (owner.folder / "newsletter.toml").read_text()
    owner.site.feed("/two.xml", [owner.site.item(20)])
    assert owner("sources", "add", f"{owner.site.base}/two.xml").code == 0
    after = (owner.folder / "newsletter.toml").read_text()
    assert after.startswith(before.rstrip("\n"))
    assert [source.name for source in load(owner.folder, {}).config.sources] == ["Source /one.xml", "Feed /two.xml"]


def test_adding_twice_adds_once(owner: Owner) -> None:
    url = f"{owner.site.base}/one.xml"
    assert "configured already" in owner("sources", "add", url).out
    assert len(load(owner.folder, {}).config.sources) == 1


def test_the_first_addition_keeps_the_default_sources(owner: Owner) -> None:
    (owner.folder / "newsletter.toml").write_text(f'[fetching]\nallow = ["127.0.0.1:{owner.site.port}"]\n')
    owner("sources", "add", f"{owner.site.base}/one.xml", "--name", 'A "quoted" name')
    names = [source.name for source in load(owner.folder, {}).config.sources]
    assert names == ["AI Alignment Forum", "The Gradient", 'A "quoted" name']


@pytest.mark.parametrize(("path", "code"), [("/none.xml", 2), ("/page", 2)])
def test_what_is_no_feed_is_not_added(owner: Owner, path: str, code: int) -> None:
    before = (owner.folder / "newsletter.toml").read_text()
    run = owner("sources", "add", f"{owner.site.base}{path}")
    assert run.code == code and run.err.count("\n") == 1
    assert (owner.folder / "newsletter.toml").read_text() == before


def test_import_takes_the_feeds_of_an_opml_file(owner: Owner) -> None:
    file = owner.folder / "feeds.opml"
    file.write_text(
        '<opml version="2.0"><body><outline text="Folder">'
        '<outline type="rss" text="One &amp; two" xmlUrl="https://a.example/feed"/>'
        f'<outline type="rss" title="Known" xmlUrl="{owner.site.base}/one.xml"/>'
        '<outline text="No feed"/><outline xmlUrl="javascript:alert(1)"/></outline></body></opml>'
    )
    run = owner("sources", "import", str(file))
    assert run.code == 0 and "1 of 2 feeds added, 1 configured already" in run.out
    assert "One & two" in [source.name for source in load(owner.folder, {}).config.sources]


@pytest.mark.parametrize(("text", "said"), [("not xml", "not XML"), ("<rss/>", "not an OPML file")])
def test_a_file_that_is_no_opml_is_one_line(owner: Owner, text: str, said: str) -> None:
    (owner.folder / "x.opml").write_text(text)
    run = owner("sources", "import", str(owner.folder / "x.opml"))
    assert run.code == 2 and said in run.err and run.err.count("\n") == 1


def test_feeds_of_a_missing_opml_file_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        feeds_of_opml(tmp_path / "none.opml")
