"""`newsletter config`: what holds, without a secret."""

from __future__ import annotations

import tomllib

from tests.newsletter.cli.conftest import Owner


def test_show_prints_toml_that_means_the_same(owner: Owner) -> None:
    shown = tomllib.loads(owner("config", "show").out)
    assert shown["selection"]["max_per_source"] == 5
    assert shown["sources"][0]["name"] == "Source /one.xml"


def test_show_never_prints_a_secret(owner: Owner) -> None:
    (owner.folder / "secrets.env").write_text("ANTHROPIC_API_KEY=sk-very-secret\n")
    (owner.folder / "secrets.env").chmod(0o600)
    for words in (("config", "show"), ("config", "show", "--json"), ("config", "show", "--debug", "-v")):
        run = owner(*words)
        assert "very-secret" not in run.out + run.err
        assert "ANTHROPIC_API_KEY" in run.out


def test_check_knows_providers_sections_and_kinds(owner: Owner) -> None:
    assert owner("config", "check").code == 0
    for key, value in (("DELIVERY__PROVIDER", "pigeon"), ("WRITING__SECTIONS", "summary,horoscope")):
        text = (owner.folder / "newsletter.toml").read_text()
        section, name = key.lower().split("__")
        shown = "[" + ", ".join(f'"{v}"' for v in value.split(",")) + "]" if "," in value else f'"{value}"'
        changed = (
            text.replace("[writing]\n", f"[writing]\n{name} = {shown}\n")
            if section == "writing"
            else f"[delivery]\n{name} = {shown}\n{text}"
        )
        (owner.folder / "newsletter.toml").write_text(changed)
        run = owner("config", "check")
        assert run.code == 3 and "known: " in run.err
        (owner.folder / "newsletter.toml").write_text(text)


def test_check_reads_every_template_of_the_owners(owner: Owner) -> None:
    page = owner.folder / "mine" / "pages" / "left.html"
    page.parent.mkdir(parents=True)
    page.write_text("{% endif %}", "utf-8")
    owner.configure("/one.xml", extra='[theme]\ntemplates = "mine"')
    run = owner("config", "check")
    assert run.code == 3 and run.err.startswith(f"newsletter: {page}:1: ") and run.err.count("\n") == 1
    page.unlink()
    assert owner("config", "check").code == 0
