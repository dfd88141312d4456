"""The configuration: what is read, what overrides what, and what is said of a mistake."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter.cli.config import toml_lines
from newsletter.cli.init import starting_file
from newsletter.config import Config, ConfigError, Settings, is_this_machine, keys, load
from newsletter.theme import LIGHT, Theme


def _load(folder: Path, text: str, **environment: str) -> Settings:
    file = folder / "newsletter.toml"
    file.write_text(text, "utf-8")
    return load(file, environment)


def _problem(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text, **environment)
    return str(caught.value).replace(str(folder), "")


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    assert [source.name for source in settings.config.sources] == ["AI Alignment Forum", "The Gradient"]
    assert settings.database_url == f"sqlite:///{tmp_path}/data/newsletter.sqlite3"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    given = {"NEWSLETTER_SELECTION__MAX_PIECES": "7", "NEWSLETTER_FETCHING__ALLOW": "127.0.0.1:1,127.0.0.1:2"}
    config = _load(tmp_path, "[selection]\nmax_pieces = 4\n", **given).config
    assert config.selection.max_pieces == 7
    assert config.fetching.allow == ("127.0.0.1:1", "127.0.0.1:2")


def test_the_database_has_a_name_of_its_own_in_the_environment(tmp_path: Path) -> None:
    assert _load(tmp_path, "", NEWSLETTER_DATABASE_URL="sqlite:////tmp/x").database_url == "sqlite:////tmp/x"


def test_the_address_of_the_pages_is_kept_without_a_slash_at_its_end(tmp_path: Path) -> None:
    for given in ("https://example.com/news", "https://example.com/news/", "https://example.com/news//"):
        assert _load(tmp_path, f'[web]\nbase_url = "{given}"\n').config.web.base_url == "https://example.com/news"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[selection]\nmin_peices = 3\n",
            "newsletter.toml:2: unknown key `selection.min_peices`; did you mean `selection.min_pieces`?",
        ),
        ("[selectoin]\n", "newsletter.toml:1: unknown key `selectoin`; did you mean `selection`?"),
        (
            "[newsletter]\nmin_pieces = 3\n",
            "newsletter.toml:2: unknown key `newsletter.min_pieces`; did you mean `selection.min_pieces`?",
        ),
        ("[selection\n", "newsletter.toml:1: not TOML"),
        ("\n[selection]\nmin_pieces = 9\n", "min_pieces (9) is more than max_pieces (5)"),
        (
            "[newsletter]\ntime_zone = 'Mars/Base'\n",
            "newsletter.toml:2: `newsletter.time_zone`: 'Mars/Base' is no IANA time zone",
        ),
        (
            "[[sources]]\nname='a'\nurl='http://a.example'\n[[sources]]\nname='b'\nurl='ftp://b'\n",
            "newsletter.toml:6: `sources.url`",
        ),
        ("[[sources]]\nname='a'\n", "newsletter.toml:1: `sources.url` is missing; add it"),
        ("[fetching]\nallow = ['localhost']\n", "newsletter.toml:2: `fetching.allow`"),
        ("[selection]\nmax_pieces = 'many'\n", "newsletter.toml:2: `selection.max_pieces`"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_mend(tmp_path: Path, text: str, said: str) -> None:
    assert said in _problem(tmp_path, text)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert _problem(tmp_path, "", NEWSLETTER_SELECTION__MAX_PIECES="x").startswith("NEWSLETTER_SELECTION__MAX_PIECES: ")
    assert "did you mean `selection.max_pieces`" in _problem(tmp_path, "", NEWSLETTER_SELECTION__MAX_PEICES="3")


def test_two_sources_with_one_address_are_refused(tmp_path: Path) -> None:
    source = "[[sources]]\nname = 'a'\nurl = 'http://a.example'\n"
    assert "two [[sources]] have the same url" in _problem(tmp_path, source * 2)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `newsletter init"):
        load(tmp_path / "newsletter.toml", {})


def test_a_file_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "newsletter.toml").write_bytes(b"[newsletter]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="byte 21 is not UTF-8"):
        load(tmp_path, {})


def test_secrets_come_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("# a comment\nANTHROPIC_API_KEY='abc'\n")
    file.chmod(0o600)
    assert _load(tmp_path, "").secrets.get("ANTHROPIC_API_KEY") == "abc"
    assert _load(tmp_path, "", ANTHROPIC_API_KEY="env").secrets.get("ANTHROPIC_API_KEY") == "env"
    file.chmod(0o644)
    assert "chmod 600" in _problem(tmp_path, "")


@pytest.mark.parametrize(
    ("line", "said"), [("ANTHROPIC_KEY=x", "did you mean ANTHROPIC_API_KEY?"), ("nonsense", "not NAME=value")]
)
def test_a_mistake_in_the_secrets_is_named_without_its_value(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "secrets.env").write_text(f"{line}\n")
    (tmp_path / "secrets.env").chmod(0o600)
    problem = _problem(tmp_path, "")
    assert ":1:" in problem and said in problem


def test_secrets_do_not_print_themselves(tmp_path: Path) -> None:
    settings = _load(tmp_path, "", ANTHROPIC_API_KEY="very-secret")
    assert "very-secret" not in repr(settings) + str(settings.secrets)


def test_what_show_prints_is_the_configuration_again() -> None:
    config = Config()
    assert Config.model_validate(tomllib.loads("\n".join(toml_lines(config.model_dump())))) == config


def test_what_init_writes_means_the_defaults() -> None:
    assert Config.model_validate(tomllib.loads(starting_file())) == Config()


def test_every_key_of_what_init_writes_can_be_taken_out_of_its_comment() -> None:
    bare = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in starting_file().splitlines()
        if not line.startswith("# ") or " = " in line
    )
    assert Config.model_validate(tomllib.loads(bare)) == Config()


def test_this_machine_is_told_by_name_or_address() -> None:
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_this_machine, ("example.com", "192.0.2.1", "localhost.example.com", "")))


def test_every_key_has_a_description() -> None:
    described = {name: text for name, _, text in keys()}
    assert len(described) > 30
    assert not [name for name, text in described.items() if not text.endswith((".", "?", ":"))]


@pytest.mark.parametrize("key", ["cron", "weekly", "monthly"])
def test_a_schedule_that_names_no_time_is_refused_with_its_line(tmp_path: Path, key: str) -> None:
    problem = _problem(tmp_path, f'[schedule]\n{key} = "0 7 * *"\n')
    assert ":2: " in problem and "no cron expression" in problem


def test_an_empty_schedule_has_no_slots(tmp_path: Path) -> None:
    assert _load(tmp_path, '[schedule]\ncron = ""\n').config.timetable().kinds == ()


def test_a_colour_that_cannot_be_read_is_refused_with_its_ratio_and_place(tmp_path: Path) -> None:
    said = _problem(tmp_path, '[theme]\nlogo = "AI"\nlight_accent = "#777777"\n')
    assert said.startswith(
        "/newsletter.toml:3: `theme.light_accent`: #777777 has a contrast of 4.4 on light_paper #ffffff, "
        "and text needs 4.5; "
    )
    assert said.count("\n") == 0


def test_our_colours_are_held_to_a_background_of_the_owners(tmp_path: Path) -> None:
    said = _problem(tmp_path, '[theme]\ndark_tint = "#9a9a9a"\n')
    assert "`theme.dark_muted`: #a2adb1 has a contrast of 1.2 on dark_tint #9a9a9a" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('light_paper = "white"', "'white' is no colour, such as #0b5f58"),
        ('light_ink = "#000000;}"', "is no colour"),
        ("text_font = \"'Inter', serif\"", "is no list of fonts"),
        ('text_font = "x; color: red"', "is no list of fonts"),
        ('logo = "A\\nB"', "line break"),
    ],
)
def test_a_theme_holds_colours_fonts_and_a_line_of_text(tmp_path: Path, line: str, said: str) -> None:
    problem = _problem(tmp_path, f"[theme]\n{line}\n")
    assert "/newsletter.toml:2: `theme." in problem and said in problem


def test_a_theme_becomes_what_the_renderer_works_with(tmp_path: Path) -> None:
    assert Config().theme.value() == Theme()
    given = _load(tmp_path, '[theme]\nlight_accent = "#123456"\ntext_font = "Arial, sans-serif"\n').config
    assert given.theme.value() == Theme(light=replace(LIGHT, accent="#123456"), text_font="Arial, sans-serif")


def test_the_folder_of_templates_is_found_beside_the_file(tmp_path: Path) -> None:
    settings = _load(tmp_path, '[theme]\ntemplates = "mine"\n')
    with pytest.raises(ConfigError, match=r"`theme\.templates`: .*mine is no folder; make it, or correct the path"):
        _ = settings.templates
    (tmp_path / "mine").mkdir()
    assert settings.templates == tmp_path / "mine"
    assert _load(tmp_path, "").templates is None
