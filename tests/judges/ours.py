"""Rules of our own: sizes, lines, headers, links, what may be loaded, and whether the text says what the HTML says."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lxml import html as lxml_html

from newsletter.rendering import COLUMNS, MOST_HTML_BYTES, columns_of, web_link
from newsletter.theme import LEAST_CONTRAST, Theme, contrast
from tests.judges import Mail, Verdict

LONGEST_LINE, GOOD_LINE = 998, 78
LEAST_COVERED = 0.95
HEADERS = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "MIME-Version",
)


def sizes(mails: Sequence[Mail]) -> Verdict:
    """HTML that no mail program clips, lines that no server breaks, text of 72 columns."""
    html = max(len(mail.html.encode()) for mail in mails)
    line = max(len(line) for mail in mails for line in mail.message.split(b"\r\n"))
    wide = max((columns_of(line) for mail in mails for line in _prose(mail.text)), default=0)
    faults = []
    if html > MOST_HTML_BYTES:
        faults.append(f"HTML of {html:,} bytes")
    if line > LONGEST_LINE:
        faults.append(f"a line of {line} bytes")
    if wide > COLUMNS:
        faults.append(f"text of {wide} columns")
    return Verdict("sizes", f"largest HTML {html:,} bytes, longest line {line} bytes, text {wide} columns", faults)


def _prose(text: str) -> Iterator[str]:
    """Lines that hold more than a URL."""
    return (line for line in text.splitlines() if not web_link(line))


def headers(mails: Sequence[Mail]) -> Verdict:
    """Everything that mail to many must say of itself, once, and in ASCII."""
    faults = []
    for mail in mails:
        parsed = email.message_from_bytes(mail.message, policy=email.policy.default)
        for name in HEADERS:
            values = parsed.get_all(name, [])
            if len(values) != 1 or values[0].defects:
                faults.append(f"{mail.name}: {name} is there {len(values)} times, or is not well formed")
        if parsed["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
            faults.append(f"{mail.name}: no one-click unsubscribing")
        if not re.fullmatch(r"<https://[^>]+>", "".join(str(parsed["List-Unsubscribe"]).split())):
            faults.append(f"{mail.name}: List-Unsubscribe is no https address")
        if b"\nList-Unsubscribe: =?" in mail.message:
            faults.append(f"{mail.name}: List-Unsubscribe is in encoded words, which no mail program takes for a link")
        if not mail.message.isascii():
            faults.append(f"{mail.name}: bytes that are not ASCII")
    return Verdict("headers", f"{len(HEADERS)} in each of {len(mails)} mails", faults)


def links(mails: Sequence[Mail]) -> Verdict:
    """Links to the web alone, the same in both parts, and nothing that a mail program would load."""
    count, faults = 0, []
    for mail in mails:
        tree = lxml_html.document_fromstring(mail.html)
        found = {str(link) for link in tree.xpath("//a/@href")}
        count += len(found)
        faults += [f"{mail.name}: {link[:80]} is no link" for link in found if not web_link(link)]
        missing = found ^ set(re.findall(r"^\s*(https?://\S+)$", mail.text, re.MULTILINE)) & found
        faults += [f"{mail.name}: {link[:80]} is not in the text" for link in missing]
        loaded = tree.xpath("//img | //link | //script | //iframe | //object | //*[@background]")
        faults += [f"{mail.name}: <{element.tag}>" for element in loaded]
        faults += [f"{mail.name}: {url[:80]}" for url in re.findall(r"url\([^)]*\)|@import[^;]*", mail.html)]
    return Verdict("links", f"{count} links, nothing loaded", faults)


def texts(mails: Sequence[Mail]) -> Verdict:
    """The text part has the words of the HTML."""
    shares = {mail.name: covered(mail) for mail in mails}
    faults = [f"{name}: {share:.1%} of the words" for name, share in shares.items() if share < LEAST_COVERED]
    return Verdict("text against HTML", f"at least {min(shares.values()):.1%} of the words", faults)


def covered(mail: Mail) -> float:
    """What part of the words that the HTML shows stands in the text too."""
    tree = lxml_html.document_fromstring(mail.html)
    (main,) = tree.xpath("//*[@role='main']")
    wanted = Counter(_words(" ".join(main.itertext())))
    return 1 - (wanted - Counter(_words(mail.text))).total() / wanted.total()


def _words(text: str) -> list[str]:
    """Words of up to 40 letters, since the text breaks longer ones."""
    return [word for word in re.findall(r"\w+", text) if len(word) <= 40]


def structure(mails: Sequence[Mail]) -> Verdict:
    """A language, a title that shares words with the subject, headings in order, tables for layout alone."""
    faults = []
    for mail in mails:
        tree = lxml_html.document_fromstring(mail.html)
        parsed = email.message_from_bytes(mail.message, policy=email.policy.default)
        if not tree.get("lang") or tree.get("dir") not in ("ltr", "rtl"):
            faults.append(f"{mail.name}: no language or direction")
        if not set(_words(tree.findtext(".//title") or "")) & set(_words(str(parsed["Subject"]))):
            faults.append(f"{mail.name}: the title is not about the subject")
        levels = [int(heading.tag[1]) for heading in tree.xpath("//h1 | //h2 | //h3 | //h4")]
        if levels[:1] != [1] or any(b > a + 1 for a, b in itertools.pairwise(levels)):
            faults.append(f"{mail.name}: headings go {levels}")
        faults += [f"{mail.name}: a table for data" for _ in tree.xpath("//table[not(@role='presentation')]")]
    return Verdict("structure", "language, title, headings, tables", faults)


def colours(theme: Theme) -> Verdict:
    """Text on what lies behind it."""
    ratios = {
        f"{text} on {behind}": contrast(text, behind)
        for palette in (theme.light, theme.dark)
        for text in (palette.ink, palette.muted, palette.accent, palette.ours)
        for behind in (palette.paper, palette.tint)
    }
    faults = [f"{pair}: {ratio:.2f}" for pair, ratio in ratios.items() if ratio < LEAST_CONTRAST]
    return Verdict("contrast", f"at least {min(ratios.values()):.1f} of {LEAST_CONTRAST}", faults)
