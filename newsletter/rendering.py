"""Turns an edition into its mail, HTML and plain text, once for all its readers; makes letters and pages too.

An edition goes through Jinja and MJML once. What differs from reader to reader stands in the result as random
sentinels; the result is split at them, and every further reader costs one ``str.join``. Nothing that was
filled in is ever read as a template again, so text that looks like a placeholder arrives as it stands.

A letter is rendered for the one person who gets it. Which kinds there are, what each says and which values it
needs stands in the fixed texts of the language, and nowhere else.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import itertools
import re
import secrets
import string
import tomllib
import traceback
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jinja2
import mjml
from jinja2.bccache import Bucket
from markupsafe import Markup

from newsletter.problems import Misconfigured
from newsletter.slots import month_of
from newsletter.theme import Theme
from newsletter.values import (
    EVERY,
    MONTHLY,
    WEEKLY,
    Edition,
    IssuePiece,
    Section,
    SectionShape,
    Summary,
    SummaryKind,
    TextOrigin,
    minutes_of,
)

COLUMNS = 72
"""Longest line of the text part; a URL alone on its line may be longer."""

MOST_HTML_BYTES = 90_000
"""Gmail clips a mail above 102 kB; the rest is room for what providers add."""

SHORT_TEXT, SHORT_LINE, SHORT_LINK = 400, 60, 300
"""Most characters of a piece's text, of each of its lines, and of its link, where an edition would be too large."""

SUBJECT_LENGTH = 90
PREHEADER_LENGTH = 140
MOST_AUTHORS = 3

LETTER_NAME_LENGTH = 100
"""Most characters of the newsletter's name in a letter, which says it several times over."""

LETTER_VALUE_LENGTH = 300
"""Most characters of any other value that a letter says (an address has up to 254). URLs stand whole."""

LETTER_BLOCK_LENGTH = 15_000
"""Most characters of a text that stands in a letter line by line."""

LIFTED = "takeaways"
"""The section that opens a piece, wherever the summary has it: a hurried reader takes it and moves on."""

# Not what ``str.split`` takes for white space: that separates words.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_DASHES = " \u2014\u2013-:,"
_MEND = "copy it from words/en.toml and translate it"
# Grapheme joiner, non-joiner, no-break space: a list of mails shows nothing of it, so nothing of the body.
_PADDING = "\u034f\u200c\u00a0" * 60


_MISTAKES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a template may raise when it runs: its expressions can do whatever Python's can."""


class RenderingError(Misconfigured):
    """Something cannot be rendered; the text says what, and what mends it."""


@dataclass(frozen=True, slots=True)
class Masthead:
    """What every mail of a newsletter says of itself.

    ``logo`` is a text shown large in the place of the name (empty: the name). ``topic_names`` are the topics'
    names by key. ``base_url`` is where the public pages are, without a slash at its end; ``time_zone`` (an IANA name)
    says which day a piece was published on. ``postal_address`` may have several lines.
    """

    name: str
    base_url: str
    tagline: str = ""
    language: str = "en"
    time_zone: str = "UTC"
    postal_address: str = ""
    logo: str = ""
    topic_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def brand(self) -> str:
        """What stands where others have a logo."""
        return self.logo or self.name


_NO_PART_OF_A_URL = r"\s\x00-\x1f\x7f-\x9f\"<>\\^`{|}"
_WEB_URL = re.compile(rf"https?://[^/?#@:{_NO_PART_OF_A_URL}]+[^{_NO_PART_OF_A_URL}]*")
"""What a link of ours looks like: quicker than `web_link`, which takes those of others too."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Everything of a mail that differs from reader to reader.

    ``because`` ends the sentence "You get this mail because ...": "you follow evaluations and safety".
    ``feedback_url`` is one for the whole issue: with ``/3`` at its end it asks about the issue's third piece.
    ``unsubscribe_mail`` is the mailto URL of a mail that unsubscribes; empty: there is none.
    Raises ValueError when a URL is not an absolute http or https one.
    """

    address: str
    unsubscribe_url: str
    preferences_url: str
    because: str
    feedback_url: str
    unsubscribe_mail: str = ""

    def __post_init__(self) -> None:
        for url in (self.unsubscribe_url, self.preferences_url, self.feedback_url):
            if not _WEB_URL.fullmatch(url):
                raise ValueError(f"not an http or https address: {url!r}")


@dataclass(frozen=True, slots=True)
class Form:
    """A text with gaps: ``parts`` are what stands between the gaps, one more than there are ``gaps``.

    Exposed so that a provider can encode the parts once for all readers.
    """

    parts: tuple[str, ...]
    gaps: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every gap filled. Raises KeyError for a gap that has no value."""
        if len(self.gaps) == 1:
            return f"{self.parts[0]}{values[self.gaps[0]]}{self.parts[1]}"
        filled = [""] * (2 * len(self.gaps) + 1)
        filled[::2] = self.parts
        filled[1::2] = [values[gap] for gap in self.gaps]
        return "".join(filled)


@dataclass(frozen=True, slots=True)
class RenderedEdition:
    """An edition as it leaves, but for what differs from reader to reader.

    ``reason`` and ``sent_to`` are the two sentences about a reader, with a gap each. ``shortened`` are the numbers,
    from 1, of pieces that had to be made shorter than they are on the web, since the whole mail would be too large.
    """

    subject: str
    preheader: str
    html_form: Form
    text_form: Form
    reason: Form
    sent_to: Form
    shortened: tuple[int, ...] = ()

    def html(self, reader: Reader) -> str:
        """The HTML part for a reader."""
        return self.html_form.fill(self.html_values(reader))

    def text(self, reader: Reader) -> str:
        """The text part for a reader; lines end in LF."""
        return self.text_form.fill(self.text_values(reader))

    def html_values(self, reader: Reader) -> dict[str, str]:
        """What goes into the gaps of the HTML part, escaped."""
        return self.values(reader)[1]

    def text_values(self, reader: Reader) -> dict[str, str]:
        """What goes into the gaps of the text part: the sentences wrapped, each URL as it is."""
        return self.values(reader)[0]

    def values(self, reader: Reader) -> tuple[dict[str, str], dict[str, str]]:
        """What goes into the gaps of the text part and of the HTML part, worked out at once."""
        reason, reason_in_html = _shared_sentence(self.reason, reader.because)
        sent_to = self.sent_to.fill({"address": one_line(reader.address)})
        urls = {
            "preferences_url": reader.preferences_url,
            "unsubscribe_url": reader.unsubscribe_url,
            "feedback_url": reader.feedback_url,
        }
        in_html = {name: _escaped_url(url) for name, url in urls.items()}
        return (
            {"reason": reason, "sent_to": wrap(sent_to), **urls},
            {"reason": reason_in_html, "sent_to": html.escape(sent_to), **in_html},
        )

    @property
    def size(self) -> int:
        """Bytes of the HTML part, in UTF-8, for the reader with the longest values. Gmail clips at 102 kB."""
        return len(self.html(LONGEST_READER).encode())


@dataclass(frozen=True, slots=True)
class RenderedLetter:
    """A letter as it leaves, for one person. Lines of ``text`` end in LF."""

    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class LetterWords:
    """What a kind of letter says, as patterns: ``{name}`` is the newsletter's, other names are those of values.

    ``button`` is the label of the one link that matters, the value ``url``; without it there is no such link.
    ``links`` are quieter links: the label by the name of the value that holds the URL. ``block`` names a value of many
    lines that stands as it is. ``after`` closes.
    """

    subject: str
    heading: str
    paragraphs: tuple[str, ...]
    button: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    block: str = ""
    after: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """The names of the values that are URLs, the button's first."""
        return (*(("url",) if self.button else ()), *self.links)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of all values without which the letter cannot be written."""
        said = (self.subject, self.heading, *self.paragraphs, self.button, *self.links.values(), self.after)
        names = (name for text in said for _, name, _, _ in string.Formatter().parse(text) if name is not None)
        block = (self.block,) if self.block else ()
        return tuple(dict.fromkeys(("address", *self.urls, *block, *(name for name in names if name != "name"))))


def _escaped_url(url: str) -> str:
    """A link of ours, escaped; of what HTML escapes, `Reader` lets no more than these in."""
    return html.escape(url) if "&" in url or "'" in url else url


@lru_cache(maxsize=1024)
def _shared_sentence(form: Form, because: str) -> tuple[str, str]:
    """A sentence that many readers share: in lines for the text, and escaped for the HTML."""
    sentence = form.fill({"because": one_line(because)})
    return wrap(sentence), html.escape(sentence)


class Phrases:
    """The fixed texts of one language, and how it writes dates and lists.

    ``table`` is what a file of `templates/words` holds. A key that it lacks raises RenderingError.
    """

    def __init__(self, table: Mapping[str, Any], name: str) -> None:
        self._table = table
        self._name = name

    def __call__(self, key: str, n: int | None = None, **values: object) -> str:
        """The text of that key with its values; ``n`` picks singular or plural and is a value too."""
        return self._pattern(key, n).format(n=None if n is None else self.number(n), **values)

    def form(self, key: str, gap: str) -> Form:
        """The text of that key as a form with one gap."""
        before, found, after = self._pattern(key).partition(f"{{{gap}}}")
        if not found:
            raise RenderingError(f"{self._name}: `{key}` must hold {{{gap}}}")
        return Form((before.format(), after.format()), (gap,))

    def date(self, day: dt.date) -> str:
        """A date as the language writes it: "29 May 2026". Needs no locale of the machine."""
        return self("date", day=day.day, month=self._value("months")[day.month - 1], year=day.year)

    def number(self, n: int) -> str:
        """A whole number as the language writes it: "12,345"."""
        return f"{n:,}".replace(",", self("thousands"))

    def heading(self, section: Section) -> str:
        """The heading of a section: the language's own, ``sections.KEY``, else the one that it was written with."""
        return str(self._table.get("sections", {}).get(section.key, section.heading))

    def because(self, names: Sequence[str] | None, kind: str = EVERY) -> str:
        """Why a reader gets a mail, by the names of the topics they follow (None: everything), and how often."""
        if names is None:
            reason = self("because_everything")
        elif names:
            # In the middle of a sentence; an abbreviation stays as it is, and so does every noun of German.
            lowers = self._value("topics_begin_small")
            inside = [name[:1].lower() + name[1:] if lowers and not name.isupper() else name for name in names]
            reason = self("because_topics", topics=self.listed(inside))
        else:
            return self("because_asked")
        return reason if kind == EVERY else self(f"because_{kind}", because=reason)

    def span(self, first: dt.date, last: dt.date) -> str:
        """The days from one to another, with of the first only what differs: "16 to 22 November 2026"."""
        if first >= last:
            return self.date(last)
        begin = self.date(first)
        if first.year == last.year:
            month = "" if first.month == last.month else self._value("months")[first.month - 1]
            begin = self("day_and_month", day=first.day, month=month) if month else self("day", day=first.day)
        return self("span", first=begin, last=self.date(last))

    def listed(self, names: Iterable[str]) -> str:
        """Names as the language lists them: "A, B and C"."""
        *first, last = names
        return self("and", first=self("comma").join(first), last=last) if first else last

    def month(self, day: dt.date) -> str:
        """The month of a date as the language writes it: "May 2026"."""
        return self("month", month=self._value("months")[day.month - 1], year=day.year)

    @property
    def direction(self) -> str:
        """The direction of the script, ``ltr`` or ``rtl``."""
        return self("direction")

    def letter(self, kind: str) -> LetterWords:
        """What a kind of letter says: the table ``letters.KIND``. Raises RenderingError when it is missing or odd."""
        letters = self._value("letters")
        if kind not in letters:
            raise RenderingError(f"{self._name} has no `letters.{kind}`; {_MEND}")
        table, known = letters[kind], {item.name for item in fields(LetterWords)}
        if not {"subject", "heading", "paragraphs"} <= set(table) <= known or isinstance(table["paragraphs"], str):
            raise RenderingError(f"{self._name}: `letters.{kind}` is not like that of words/en.toml; {_MEND}")
        return LetterWords(**{**table, "paragraphs": tuple(table["paragraphs"])})

    def _pattern(self, key: str, n: int | None = None) -> str:
        found = self._value(key)
        return str(found["one" if n in self._value("singular") else "other"] if isinstance(found, Mapping) else found)

    def _value(self, key: str) -> Any:
        try:
            return self._table[key]
        except KeyError:
            raise RenderingError(f"{self._name} has no `{key}`; {_MEND}") from None


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section as the templates lay it out.

    ``evidence`` are sentences of ours, each with the piece's own words behind it; for the web alone, since a mail
    has no room for them. Excerpts and suggestions have none.
    """

    heading: str
    texts: tuple[str, ...]
    is_list: bool
    is_lifted: bool
    is_suggestion: bool
    is_quoted: bool
    evidence: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class PieceView:
    """A piece as the templates lay it out. Links are empty where there is nothing to link to.

    ``number`` counts the edition's pieces and ``place`` the issue's, from 1 (0: the issue has no such piece).
    ``link`` is the piece itself and ``here`` its place in the web issue; ``mark`` says when it is no full
    digest; ``length`` is how long the piece is, when we had the whole of it. ``more`` is the label of a link to
    ``here``, where the rest is, when this is not the whole of our text.
    """

    number: int
    place: int
    title: str
    link: str
    here: str
    facts: tuple[str, ...]
    topics: tuple[str, ...]
    minutes: str
    mark: str
    sections: tuple[SectionView, ...]
    read: str
    length: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class IssueView:
    """What the templates say of an edition as a whole.

    ``wordmark`` (the logo text) and ``rest`` are the title in two parts when it starts with the newsletter's
    name, else empty.
    """

    title: str
    wordmark: str
    rest: str
    count: str
    minutes: str
    topics: tuple[str, ...]
    notice: str
    end: str
    origins: tuple[str, ...]
    link: str
    all_link: str


@dataclass(frozen=True, slots=True)
class LetterLink:
    """A link of a letter, as words and URL."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class LetterView:
    """A letter as the templates lay it out; it may have no ``button``, and an empty ``after``.

    ``name`` is the newsletter's, in a length that a letter can bear.
    """

    name: str
    heading: str
    paragraphs: tuple[str, ...]
    button: LetterLink | None
    links: tuple[LetterLink, ...]
    block: tuple[str, ...]
    after: str
    sent_to: str


@dataclass(frozen=True, slots=True)
class Layout:
    """An edition laid out as values for templates: texts cleaned, links checked, dates in words."""

    issue: IssueView
    pieces: tuple[PieceView, ...]
    subject: str
    preheader: str


class Renderer:
    """Renders the mails and pages of one newsletter.

    ``templates`` is the owner's folder: a file in it stands in for ours of the same path. Raises
    RenderingError when there are no fixed texts in the newsletter's language.
    """

    def __init__(self, masthead: Masthead, templates: Path | None = None, theme: Theme | None = None) -> None:
        self._masthead = _cleaned(masthead)
        self._theme = theme or Theme()
        self._folders = [folder for folder in (templates, templates_folder()) if folder is not None]
        self._say = _phrases(self._folders, masthead.language)
        self._jinja = _environment(self._folders, self._say.direction)

    def edition(self, edition: Edition) -> RenderedEdition:
        """Render an edition for all its readers. The same edition gives the same result.

        Above 90,000 bytes of HTML, pieces become shorter, that of the lowest score first. Raises RenderingError
        when a template is at fault; the text names it.
        """
        layout = self.layout(edition)
        whole = self._rendered(layout)
        if whole.size <= MOST_HTML_BYTES:
            return whole
        steps, more = _steps(edition.pieces), self._say("read_on")
        least = bisect_left(
            range(1, len(steps)),
            True,
            key=lambda count: (
                self._rendered(_cut(layout, steps[:count], more), with_text=False).size <= MOST_HTML_BYTES
            ),
        )
        cut = _cut(layout, steps[: least + 1], more)
        changed = (new.number for old, new in zip(layout.pieces, cut.pieces, strict=True) if old != new)
        return replace(self._rendered(cut), shortened=tuple(changed))

    def markup(self, edition: Edition) -> str:
        """The MJML of an edition, as it is before it becomes HTML: for whoever judges our templates."""
        values, _ = _gapped(self.layout(edition))
        return self._render("email/issue.mjml", **values)

    def _rendered(self, layout: Layout, *, with_text: bool = True) -> RenderedEdition:
        values, holes = _gapped(layout)
        text = _tidy(self._render("email/issue.txt", **values)) if with_text else ""
        return RenderedEdition(
            subject=layout.subject,
            preheader=layout.preheader,
            html_form=_split(self._html("email/issue.mjml", **values), holes),
            text_form=_split(text, holes),
            reason=self._say.form("reason", "because"),
            sent_to=self._say.form("sent_to", "address"),
        )

    def letter(self, kind: str, values: Mapping[str, str]) -> RenderedLetter:
        """Render a letter. ``kind`` is a table of the fixed texts, ``letters.KIND``. Same input, same bytes.

        ``values`` are what it needs (`LetterWords.needs`): always ``address``, whose letter it is, mostly
        ``url``, where the button leads, and what its table names beside them; more do no harm. Raises
        RenderingError when there is no such kind, a value is missing, or a URL is none.
        """
        shown = self._shown_of_letter(kind, values)
        return RenderedLetter(
            subject=shown["subject"],
            preheader=shown["preheader"],
            html=self._html("email/letter.mjml", **shown),
            text=_tidy(self._render("email/letter.txt", **shown)),
        )

    def letter_markup(self, kind: str, values: Mapping[str, str]) -> str:
        """The MJML of a letter: for whoever judges our templates. Arguments as of `letter`."""
        return self._render("email/letter.mjml", **self._shown_of_letter(kind, values))

    def _shown_of_letter(self, kind: str, values: Mapping[str, str]) -> dict[str, Any]:
        words = self._say.letter(kind)
        try:
            subject, view = _letter(words, one_line(self._masthead.name), values, self._say)
        except ValueError as error:
            raise RenderingError(f"the letter `{kind}`: {error}") from error
        preheader = shortened(" ".join(view.paragraphs), PREHEADER_LENGTH)
        return {"subject": subject, "preheader": preheader, "letter": view}

    def layout(self, edition: Edition) -> Layout:
        """What the mail says of an edition, for a page that says the same."""
        return _Composer(self._masthead, self._say).compose(edition)

    def title_for(self, day: dt.date) -> str:
        """The dated title of an issue: ``AI Research Digest — 29 May 2026``."""
        return f"{self._masthead.name} \N{EM DASH} {self._say.date(day)}"

    def round_up_title(self, kind: str, before: dt.date, day: dt.date) -> str:
        """The title of a round-up that is due on ``day``, after the one that was due on ``before``.

        ``AI Research Digest — Week of 16 to 22 November 2026``; a monthly one that is due about the turn of a month
        bears its name.
        """
        first = before + dt.timedelta(days=1)
        month = month_of(first, day) if kind == MONTHLY else None
        if month:
            period = self._say.month(month)
        else:
            span = self._say.span(first, day)
            period = self._say("week_of", span=span) if kind == WEEKLY else span
        return f"{self._masthead.name} \N{EM DASH} {period}"

    def because(self, follows: frozenset[str] | None, kind: str = EVERY) -> str:
        """Why a reader gets a mail: "you follow evaluations and interpretability". ``follows`` as in editions.

        ``kind`` is the issue's: who reads round-ups asked for one mail a week or a month.
        """
        names = self._masthead.topic_names
        return self._say.because(None if follows is None else [names[key] for key in names if key in follows], kind)

    def title_parts(self, title: str) -> tuple[str, str]:
        """An issue's title as the newsletter's name, empty when it does not start with it, and the rest."""
        return _title_parts(one_line(title), self._masthead.name)

    def page(self, name: str, **values: Any) -> str:
        """Render a page: a file of `templates/pages`, with these values beside masthead, theme and texts.

        Every value is escaped, in the XML files too.
        """
        return self._render(f"pages/{name}", **values)

    def check(self) -> None:
        """Read every template. Raises RenderingError for the first that cannot be read at all."""
        for path in self._jinja.list_templates(extensions=["mjml", "txt", "html", "xml", "svg", "css", "js"]):
            self._template(path)

    def style_source(self) -> str:
        """The pages' style sheet as a Content-Security-Policy allows it: ``'sha256-...'`` (CSP 3, 2.3.1).

        A hash and not a nonce: a page and its 304 must carry the same one.
        """
        digest = hashlib.sha256(self.page("style.css").encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    def _html(self, path: str, **values: Any) -> str:
        return _compile(self._render(path, **values), path)

    def _render(self, path: str, **values: Any) -> str:
        shared = {
            "masthead": self._masthead,
            "root": urlsplit(self._masthead.base_url).path,
            "theme": self._theme,
            "say": self._say,
            "language": self._masthead.language,
            "direction": self._say.direction,
            "start": "right" if self._say.direction == "rtl" else "left",
            "padding": _PADDING,
            "columns": COLUMNS,
        }
        try:
            return self._template(path).render(shared | values)
        except jinja2.TemplateSyntaxError as error:
            raise RenderingError(f"{error.filename or path}:{error.lineno}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise RenderingError(f"{path}: there is no template {error.name}") from error
        except _MISTAKES as error:
            raise RenderingError(f"{self._place(error) or path}: {one_line(str(error))}") from error

    def _template(self, path: str) -> jinja2.Template:
        try:
            return self._jinja.get_template(path)
        except jinja2.TemplateSyntaxError as error:
            raise RenderingError(f"{error.filename or path}:{error.lineno}: {error.message}") from error
        except UnicodeDecodeError as error:
            raise RenderingError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error

    def _place(self, error: Exception) -> str:
        """Where in a template an error arose, as file and line; empty when it was in none."""
        found = ""
        for frame, line in traceback.walk_tb(error.__traceback__):
            file = Path(frame.f_code.co_filename)
            if any(file.is_relative_to(folder) for folder in self._folders) and file.suffix != ".py":
                found = f"{file}:{line}"
        return found


def templates_folder() -> Path:
    """Our templates: inside the installed package, or beside it in a checkout. Raises RenderingError."""
    package = Path(__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "email").is_dir():
            return folder
    raise RenderingError(f"{package}: the templates are missing; install the package again")


def web_link(url: str) -> str:
    """The URL when it is one to link to, absolute and http or https; else an empty text."""
    url = url.strip()
    if re.search(f"[{_NO_PART_OF_A_URL}]", url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme.lower() in ("http", "https") and parts.hostname else ""


LONGEST_READER = Reader(
    address=f"{'a' * 64}@{'.'.join(['b' * 63, 'c' * 63, 'd' * 57])}.com",
    unsubscribe_url=f"https://example.com/{'u' * 480}",
    preferences_url=f"https://example.com/{'p' * 480}",
    because=f"you follow {' and '.join(['twelve letters'] * 24)}",
    feedback_url=f"https://example.com/{'f' * 220}",
)
"""A reader with values as long as they get (an address has at most 254 characters, RFC 5321), for sizes."""


def shortened(text: str, length: int) -> str:
    """The text in at most so many characters: cut between words where it can be, and ended by an ellipsis."""
    if len(text) <= length:
        return text
    cut = text[: max(1, length - 1)]
    words, space, _ = cut.rpartition(" ")
    return (words if space and len(words) > length // 2 else cut).rstrip(_DASHES + ".;") + "…"


def columns_of(text: str) -> int:
    """Columns of a text: two for a wide character (UAX #11), one for any other, even a combining one.

    To count a combining mark as a column wastes a little; it keeps lines short for those who count
    characters.
    """
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@lru_cache(maxsize=256)
def wrap(text: str, first: str = "", rest: str = "") -> str:
    """A paragraph in lines of at most 72 columns. ``first`` and ``rest`` begin the first and the other lines.

    A word that is too long for a line is broken, but a URL stands whole and bare on a line of its own.
    """
    room = COLUMNS - max(columns_of(first), columns_of(rest))
    words = text.split()
    if columns_of(line := " ".join(words)) <= room:
        return first + line
    lines = [""]
    for word in _fitting(words, room):
        if lines[-1] and columns_of(lines[-1]) + 1 + columns_of(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    begun = [first + lines[0], *(rest + line for line in lines[1:])]
    return "\n".join(line if columns_of(line) <= COLUMNS else _bare(line) for line in begun)


def _bare(line: str) -> str:
    """A line of a long URL without what begins it, which then stands on the line before."""
    prefix, _, url = line.rpartition(" ")
    return f"{prefix.rstrip()}\n{url}" if prefix.strip(" >") else url


def _fitting(words: Iterable[str], width: int) -> Iterator[str]:
    for word in words:
        if columns_of(word) <= width or web_link(word):
            yield word
        else:
            yield from _broken(word, width)


def _broken(word: str, width: int) -> Iterator[str]:
    """A long word in pieces: never cut before a combining mark, nor within a joined emoji."""
    piece = ""
    for char in word:
        joined = unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf") or piece.endswith("\u200d")
        if columns_of(piece) + columns_of(char) > width - (0 if joined else 1):
            yield piece
            piece = ""
        piece += char
    yield piece


class _Composer:
    """Lays out editions."""

    def __init__(self, masthead: Masthead, say: Phrases) -> None:
        self._masthead = masthead
        self._say = say
        self._zone = ZoneInfo(masthead.time_zone)
        self._base = web_link(masthead.base_url)

    def compose(self, edition: Edition) -> Layout:
        pieces = tuple(self._piece(edition, number, entry) for number, entry in enumerate(edition.pieces, 1))
        issue = self._issue(edition)
        return Layout(issue, pieces, _subject(issue.title, pieces), self._preheader(issue, pieces))

    def _issue(self, edition: Edition) -> IssueView:
        issue, say, count = edition.issue, self._say, len(edition.pieces)
        title = one_line(issue.title)
        wordmark, rest = _title_parts(title, self._masthead.name)
        sources = self._say("comma").join(one_line(source) for source in edition.sources)
        minutes = say("minutes_to_read", edition.minutes)
        return IssueView(
            title=title,
            wordmark=one_line(self._masthead.brand) if wordmark else "",
            rest=rest if wordmark else "",
            count=say("pieces_from", count, sources=sources),
            minutes=minutes,
            topics=self._topics(key for entry in edition.pieces for key in entry.topics),
            notice=self._notice([entry.summary for entry in edition.pieces]),
            end=say("end", count, minutes=say("minutes", edition.minutes)),
            origins=self._origins([entry.summary for entry in edition.pieces]),
            link=self._issue_link(edition),
            all_link=f"{self._base}/issues" if self._base else "",
        )

    def _issue_link(self, edition: Edition) -> str:
        """The issue's page; a round-up has none, and its pieces link to the pages of their own issues."""
        has_page = self._base and not edition.issue.is_round_up
        return f"{self._base}/issues/{edition.issue.number}" if has_page else ""

    def _piece(self, edition: Edition, number: int, entry: IssuePiece) -> PieceView:
        piece, say = entry.piece, self._say
        place, link = _place(edition, entry), self._issue_link(edition)
        return PieceView(
            number=number,
            place=place,
            title=one_line(piece.title) or one_line(piece.url),
            link=web_link(piece.url),
            here=self._here(entry) or (f"{link}#piece-{place}" if link and place else link),
            facts=self._facts(entry),
            topics=self._topics(entry.topics),
            minutes=say("minutes", entry.summary.minutes),
            mark=self._mark(entry),
            sections=tuple(self._sections(entry.summary)),
            read=say("read_at", source=one_line(piece.source.name)),
            length=say("in_full", minutes_of(piece.words)) if piece.is_full_text else "",
        )

    def _here(self, entry: IssuePiece) -> str:
        """The place in its own issue of a piece that came out before; empty for others."""
        number, place = entry.home or (0, 0)
        return f"{self._base}/issues/{number}#piece-{place}" if number and self._base else ""

    def _facts(self, entry: IssuePiece) -> tuple[str, ...]:
        piece, say = entry.piece, self._say
        names = [name for name in map(one_line, piece.authors) if name]
        if len(names) > MOST_AUTHORS + 1:
            names = [*names[:MOST_AUTHORS], say("others", len(names) - MOST_AUTHORS)]
        published = say.date(piece.published.astimezone(self._zone).date()) if piece.published else ""
        facts = (
            one_line(piece.source.name),
            say.listed(names) if names else "",
            published,
            say("minutes", entry.summary.minutes),
        )
        return tuple(fact for fact in facts if fact)

    def _topics(self, keys: Iterable[str]) -> tuple[str, ...]:
        names = self._masthead.topic_names
        return tuple(one_line(names[key]) for key in dict.fromkeys(keys) if key in names)

    def _mark(self, entry: IssuePiece) -> str:
        marks = []
        if entry.summary.kind is SummaryKind.EXCERPTS:
            marks.append(self._say("excerpts_mark"))
        if entry.piece.origin is TextOrigin.ABSTRACT:
            marks.append(self._say("abstract_mark"))
        return " ".join(marks)

    def _sections(self, summary: Summary) -> Iterator[SectionView]:
        written = [section for section in summary.sections if any(map(one_line, section.texts))]
        is_excerpt = summary.kind is SummaryKind.EXCERPTS
        for place, section in enumerate(sorted(written, key=lambda section: section.key != LIFTED)):
            opening = "" if place == 0 else self._say("excerpts" if is_excerpt else "opening")
            yield _section(section, one_line(self._say.heading(section)) or opening, is_excerpt)

    def _notice(self, summaries: list[Summary]) -> str:
        models = _models(summaries)
        if not models:
            return self._say("generated_without_model")
        return self._say("generated_by", writer=self._say.listed(models))

    def _origins(self, summaries: list[Summary]) -> tuple[str, ...]:
        models, lines = _models(summaries), []
        if models:
            written = sum(1 for summary in summaries if summary.model)
            lines.append(self._say("written_by_model", written, writer=self._say.listed(models)))
        if any(summary.kind is SummaryKind.EXCERPTS for summary in summaries):
            lines.append(self._say("chosen_without_model"))
        return tuple(lines)

    def _preheader(self, issue: IssueView, pieces: tuple[PieceView, ...]) -> str:
        """What an inbox shows after the subject: the subject has the first piece, so this has the others."""
        others = self._say("comma").join(piece.title for piece in pieces[1:])
        if others:
            return shortened(f"{issue.minutes}. {self._say('also', titles=others)}", PREHEADER_LENGTH)
        texts = [text for piece in pieces for section in piece.sections for text in section.texts]
        return shortened(" ".join([f"{issue.minutes}.", *texts[:1]]), PREHEADER_LENGTH)


def _place(edition: Edition, entry: IssuePiece) -> int:
    """A piece's number in the issue, which an anchor of the web issue and a question about the piece go by."""
    key = (entry.piece.id, entry.piece.url)
    places = [(other.piece.id, other.piece.url) for other in edition.issue.pieces]
    return places.index(key) + 1 if key in places else 0


def _section(section: Section, heading: str, is_excerpt: bool) -> SectionView:
    is_list = section.shape is SectionShape.LIST
    return SectionView(
        heading=heading,
        texts=tuple(text for text in map(one_line, section.texts) if text),
        is_list=is_list,
        is_lifted=section.key == LIFTED,
        is_suggestion=section.is_suggestion,
        is_quoted=is_excerpt and not is_list and not section.is_suggestion,
        evidence=() if is_excerpt or section.is_suggestion else tuple(_evidence(section)),
    )


def _evidence(section: Section) -> Iterator[tuple[str, tuple[str, ...]]]:
    for claim in (claim for block in section.blocks for claim in block):
        quotes = tuple(filter(None, map(one_line, claim.quotes)))
        if quotes:
            yield one_line(claim.sentence), quotes


def _title_parts(title: str, name: str) -> tuple[str, str]:
    rest = title.removeprefix(name).strip(_DASHES)
    return (name, rest) if rest and title.startswith(f"{name} ") else ("", title)


def _subject(title: str, pieces: tuple[PieceView, ...]) -> str:
    """The lead, then the issue's title.

    The lead comes first since From says the newsletter's name already, and a phone shows about forty
    characters. The title stays whole, so that every subject is dated and can be found again.
    """
    if not pieces:
        return title
    room = SUBJECT_LENGTH - len(title) - 3
    return f"{shortened(pieces[0].title, room)} · {title}" if room >= 20 else shortened(title, SUBJECT_LENGTH)


class _Level(IntEnum):
    """How much of a piece is left where an edition would be too large."""

    OPENING = 1
    HEAD = 2
    BARE = 3


def _steps(entries: Sequence[IssuePiece]) -> list[tuple[int, _Level]]:
    """What to shorten, one step after another: a place among the pieces, and what is then left of that piece.

    The lowest score comes first, of equal ones the last piece; no piece loses more before every other has lost as
    much.
    """
    lowest = sorted(range(len(entries)), key=lambda place: (entries[place].score, -place))
    return [(place, level) for level in _Level for place in lowest]


def _cut(layout: Layout, steps: Iterable[tuple[int, _Level]], more: str) -> Layout:
    """The layout with its pieces shortened; ``more`` is the label of the link to the rest.

    Once even heads are shortened, so is what the issue says of all its pieces.
    """
    pieces, issue = list(layout.pieces), layout.issue
    for place, level in steps:
        pieces[place] = _cut_piece(layout.pieces[place], level, more)
        if level is _Level.BARE:
            issue = _cut_issue(layout.issue)
    return replace(layout, issue=issue, pieces=tuple(pieces))


def _cut_piece(piece: PieceView, level: _Level, more: str) -> PieceView:
    sections = tuple(map(_opening, piece.sections[:1])) if level is _Level.OPENING else ()
    if sections == piece.sections and level is not _Level.BARE:
        return piece
    cut = replace(piece, sections=sections, more=more if piece.here else "")
    if level is not _Level.BARE:
        return cut
    return replace(
        cut,
        place=0,
        title=shortened(piece.title, SHORT_LINE),
        facts=(shortened("\N{NO-BREAK SPACE}· ".join(piece.facts), SHORT_LINE),),
        topics=(),
        read=shortened(piece.read, SHORT_LINE),
        link=piece.link if len(piece.link) <= SHORT_LINK else "",
    )


def _opening(section: SectionView) -> SectionView:
    """The first texts of a section, as many as are short together; at least one, and that one cut if need be."""
    lengths = itertools.accumulate(map(len, section.texts))
    kept = sum(1 for length in lengths if length <= SHORT_TEXT)
    return replace(section, texts=section.texts[:kept] or (shortened(section.texts[0], SHORT_TEXT),))


def _cut_issue(issue: IssueView) -> IssueView:
    return replace(
        issue,
        count=shortened(issue.count, SHORT_TEXT),
        topics=(),
        notice=shortened(issue.notice, SHORT_TEXT),
        origins=tuple(shortened(line, SHORT_TEXT) for line in issue.origins),
    )


def _letter(words: LetterWords, name: str, values: Mapping[str, str], say: Phrases) -> tuple[str, LetterView]:
    """A letter's subject, and what the templates lay out. Raises ValueError that says which value is at fault."""
    missing = [key for key in words.needs if key not in values]
    if missing:
        raise ValueError(f"it was not given {', '.join(missing)}")
    texts = {key: shortened(one_line(value), LETTER_VALUE_LENGTH) for key, value in values.items()}
    texts["name"] = shortened(name, LETTER_NAME_LENGTH)
    links = tuple(LetterLink(label.format_map(texts), _checked(key, values)) for key, label in words.links.items())
    view = LetterView(
        name=texts["name"],
        heading=words.heading.format_map(texts),
        paragraphs=tuple(text.format_map(texts) for text in words.paragraphs),
        button=LetterLink(words.button.format_map(texts), _checked("url", values)) if words.button else None,
        links=links,
        block=tuple(_block(values[words.block])) if words.block else (),
        after=words.after.format_map(texts),
        sent_to=say("letter_sent_to", address=texts["address"]),
    )
    return shortened(one_line(words.subject.format_map(texts)), SUBJECT_LENGTH), view


def _block(text: str) -> Iterator[str]:
    """A text of many lines with its lines as they are, but for those that are too long."""
    for line in shortened(_UNWANTED.sub("", text).strip("\n"), LETTER_BLOCK_LENGTH).splitlines():
        fits = columns_of(line) <= COLUMNS or web_link(line)
        yield from [line.rstrip()] if fits else wrap(line).splitlines()


def _checked(key: str, values: Mapping[str, str]) -> str:
    url = web_link(values[key])
    if not url:
        raise ValueError(f"its {key} is not an http or https address")
    return url


def _models(summaries: Iterable[Summary]) -> list[str]:
    return list(dict.fromkeys(one_line(summary.model) for summary in summaries if summary.model))


def one_line(text: str) -> str:
    """The text on one line, without what no mail may hold.

    That is control characters (U+0092 alone makes Gmail clip a mail) and halves of surrogate pairs.
    """
    return " ".join(_UNWANTED.sub("", text).split())


def _lines(text: str) -> str:
    return "\n".join(one_line(line) for line in text.splitlines())


def _cleaned(masthead: Masthead) -> Masthead:
    texts = {item.name: getattr(masthead, item.name) for item in fields(masthead)}
    changed: dict[str, Any] = {name: _lines(text) for name, text in texts.items() if isinstance(text, str)}
    return replace(masthead, **changed)


class _Compiled(jinja2.BytecodeCache):
    """Templates as Jinja compiled them last, for every renderer of the process."""

    def __init__(self) -> None:
        self._code: dict[str, tuple[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give what a template's text was compiled to, if that is its text still."""
        checksum, code = self._code.get(bucket.key, ("", b""))
        if checksum == bucket.checksum:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it."""
        self._code[bucket.key] = bucket.checksum, bucket.bytecode_to_string()


_COMPILED = _Compiled()


def _environment(folders: list[Path], direction: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        bytecode_cache=_COMPILED,
        autoescape=lambda name: name is None or not name.endswith(".txt"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["web_link"] = web_link
    environment.filters["wrap"] = wrap
    environment.filters["underline"] = lambda text: "-" * min(columns_of(text), COLUMNS)
    environment.filters["dir"] = partial(_dir, against="L" if direction == "rtl" else "R")
    return environment


def _dir(text: str, against: str) -> Markup:
    """The ``dir`` attribute for a text with letters ``against`` the direction of the mail ("L" or "R")."""
    kinds = ("L",) if against == "L" else ("R", "AL")
    found = any(unicodedata.bidirectional(char) in kinds for char in text)
    return Markup(' dir="auto"') if found else Markup()


def _phrases(folders: list[Path], language: str) -> Phrases:
    """The fixed texts of a language, or of the language that a region belongs to ("de" for "de-AT")."""
    for code in dict.fromkeys((language, language.partition("-")[0])):
        for folder in folders:
            file = folder / "words" / f"{code}.toml"
            if file.is_file():
                return Phrases(_toml(file), str(file))
    raise RenderingError(
        f"there are no fixed texts in the language {language!r}; copy {folders[-1] / 'words' / 'en.toml'} "
        f"to words/{language}.toml in your templates folder and translate it"
    )


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RenderingError(f"{file}: {error}") from error


def _gapped(layout: Layout) -> tuple[dict[str, Any], dict[str, str]]:
    """What the templates of an issue are given, and the words that stand where each reader's values will."""
    holes = _sentinels(("reason", "sent_to", "preferences_url", "unsubscribe_url", "feedback_url"), repr(layout))
    return {item.name: getattr(layout, item.name) for item in fields(layout)} | {"reader": holes}, holes


def _sentinels(names: Iterable[str], content: str) -> dict[str, str]:
    """A random word for each gap, none of it in the content. All have one length, so layout never varies."""
    while True:
        root = secrets.token_hex(12)
        if root not in content:
            return {name: f"x{root}{place:02d}x" for place, name in enumerate(names)}


def _split(text: str, sentinels: Mapping[str, str]) -> Form:
    names = {word: name for name, word in sentinels.items()}
    found = re.split(f"({'|'.join(names)})", text)
    return Form(tuple(found[::2]), tuple(names[word] for word in found[1::2]))


def _compile(markup: str, path: str) -> str:
    """MJML to HTML. The compiler passes over tags that it does not know, so look whether one is left."""
    try:
        # fonts={}: by default the compiler links to the web fonts that it knows.
        compiled: str = mjml.mjml2html(markup, disable_comments=True, fonts={})
    except ValueError as error:
        raise RenderingError(f"{path} is no MJML: {error}") from error
    left = re.search(r"</?mj[-a-z]*", compiled)
    if left:
        raise RenderingError(f"{path}: MJML has no {left.group().strip('</')} there")
    # A landmark that screen readers jump to; the compiler offers no way to name it.
    compiled = compiled.replace('role="article"', 'role="main"', 1)
    # The preheader is hidden by display:none. Letters of one pixel in the colour of the paper are what SpamAssassin
    # takes for hidden advertising (FONT_INVIS_MSGID, HTML_FONT_LOW_CONTRAST).
    compiled = compiled.replace("display:none;font-size:1px;color:#ffffff;", "display:none;", 1)
    # The compiler drops white space between blocks; whoever strips the tags would find words grown together.
    return re.sub(r"(</(?:p|h\d|li|tr|div)>|<br />)(?=[^\n])", r"\1\n", compiled)


def _tidy(text: str) -> str:
    """The text without blanks at the end of lines and without more than two empty lines running."""
    return re.sub(r"\n{4,}", "\n\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip("\n") + "\n"
