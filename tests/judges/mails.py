"""The mails that are judged: every edition of the demo, and an issue that strains everything, in four languages."""

from __future__ import annotations

import contextlib
import email
import email.policy
import io
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

from newsletter import cli, messages
from newsletter.messages import Sender
from newsletter.rendering import LONGEST_READER, Masthead, Renderer, templates_folder
from newsletter.values import Claim, Edition, Issue, IssuePiece, Section, SectionShape, Summary, SummaryKind, TextOrigin
from tests.judges import Mail
from tests.newsletter import makers
from tests.newsletter.test_rendering import LETTERS, values_for

NASTY = (
    "w" * 200,
    "مرحبا بالعالم",
    "דוח מחקר חדש",
    "完全な要約",
    "👩‍🔬🧪🇩🇪",
    "“quotes” 'single' \"double\"",
    "]]>",
    "{{ reader.address }} {because} %(name)s",
    "<script>alert(1)</script>",
    "<!-- gone? -->",
    "<b>&amp;&nbsp;",
    "javascript:alert(1)",
    "a\u0301\u0302" * 20,
    "https://example.com/" + "long/" * 40,
)
"""What has broken mails."""

SENDER = Sender("AI Research Digest", "digest@example.com", "AI Research Digest", "digest.example.com")
MASTHEAD = Masthead(
    name="AI Research Digest",
    base_url="https://newsletter.example.com",
    tagline="The few pieces worth your time.",
    postal_address="Example Newsletter\n1 Example Street",
    topic_names={"safety": "Safety", "evaluations": "Evaluations"},
)


def demo(folder: Path) -> list[Mail]:
    """The mail of every edition, as the demo's preview has it."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(["demo", "--out", str(folder / "demo"), "--no-open", "--quiet"])
    if code:
        raise RuntimeError(f"the demo ended with {code}")
    return [_read(file) for file in sorted((folder / "demo" / "preview").glob("edition-*.eml"))]


def _read(file: Path) -> Mail:
    parsed = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    html, text = parsed.get_body(("html",)), parsed.get_body(("plain",))
    markup = html.get_content() if html else file.with_suffix(".html").read_text("utf-8")
    lines = text.get_content().splitlines() if text else []
    return Mail(f"demo {file.stem}", "\n".join(markup.splitlines()), "\n".join(lines), file.read_bytes())


def stress(folder: Path) -> Iterator[tuple[Mail, str]]:
    """The strained issue in each language, each mail with its MJML. ``folder`` is for the words of one from right to
    left, which are ours with the direction turned."""
    words = (templates_folder() / "words" / "en.toml").read_text("utf-8")
    (folder / "words").mkdir(exist_ok=True)
    turned = words.replace('direction = "ltr"', 'direction = "rtl"').replace("Unsubscribe", "בטל")
    (folder / "words" / "he.toml").write_text(turned, "utf-8")
    for language in ("en", "de", "fr", "he"):
        renderer = Renderer(replace(MASTHEAD, language=language), folder)
        issue = _strained(renderer)
        edition = Edition(issue, issue.pieces)
        rendered = renderer.edition(edition)
        message = messages.compose(rendered, LONGEST_READER, SENDER, key=language, issue=1, date=makers.DAY)
        html, text = rendered.html(LONGEST_READER), rendered.text(LONGEST_READER)
        mail = Mail(f"stress {language}", html, text, messages.to_bytes(message), is_demo=False)
        yield mail, renderer.markup(edition)


def letters() -> Iterator[tuple[str, str]]:
    """The MJML of each kind of letter, by its name."""
    renderer = Renderer(MASTHEAD)
    for kind in LETTERS:
        yield f"letter {kind}", renderer.letter_markup(kind, values_for(kind))


def _strained(renderer: Renderer) -> Issue:
    pieces = tuple(_piece(number) for number in range(1, 21))
    return Issue(1, makers.DAY.date(), renderer.title_for(makers.DAY.date()), pieces)


def _piece(number: int) -> IssuePiece:
    """Every third piece is plain, every third is excerpts of an abstract; the others say nothing but what is nasty."""
    text = " ".join(NASTY[(number * 3 + step) % len(NASTY)] for step in range(6))
    if number % 3 == 0:
        return IssuePiece(makers.piece(number), makers.summary(), ("safety",), number / 2)
    claims = ((Claim(text),), (Claim(f"{text} {text}"),))
    sections = (
        Section("summary", "", SectionShape.PROSE, claims),
        Section("build", "What you can build with this", SectionShape.PROSE, claims[:1], is_suggestion=True),
        Section("takeaways", "Key takeaways", SectionShape.LIST, claims),
    )
    is_excerpt = number % 3 == 1
    kind, model = (SummaryKind.EXCERPTS, "") if is_excerpt else (SummaryKind.DIGEST, "model-1")
    origin = TextOrigin.ABSTRACT if is_excerpt else TextOrigin.FEED
    url = "javascript:alert(1)" if number % 5 == 0 else f"https://example.com/{number}?a=1&b='2'"
    piece = makers.piece(number, title=text, url=url, authors=(text[:80], "Ada Example"), origin=origin)
    return IssuePiece(piece, Summary(kind, sections, "claude", model), ("evaluations",), number / 2)
