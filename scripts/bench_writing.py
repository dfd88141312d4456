"""How often the checks of grounding find a planted fault, and how often they accuse a true claim.

True claims are paraphrases, written by hand for articles that were written with them, in six sets. By the first
(`data/claims.txt`, on the bundled samples) the checks were mended until they met their targets. Each of the others was
run once before anything was mended by it, and these are its blind figures:

    set       true claims  accused     names swapped found  numbers changed found
    seen      210          6  (0.029)  179 of 262 (0.683)   374 of 382 (0.979)
    blind     211          10 (0.047)  209 of 246 (0.850)   312 of 321 (0.972)
    blind2    230          49 (0.213)  231 of 264 (0.875)   545 of 561 (0.971)
    blind3    228          23 (0.101)  222 of 268 (0.828)   465 of 504 (0.923)
    prompted  263          4  (0.015)  203 of 232 (0.875)   731 of 754 (0.969)

`blind2` and `blind3` are by a writer who rounds ("some 1,500"), takes differences, says "one in three" for a third and
units by their symbols, though the prompt asks for none of that. The checks as they were for `blind2` accuse 46 of the
claims of `blind3` (0.202); between the two runs rules were mended by `blind2`, by general kinds of reckoning and never
by words of a claim, and after the run of `blind3` some by it. `prompted` was written last, by two writers who had the
very prompt of :mod:`newsletter.writers.claude` and had not read the checks, and nothing was mended by it: its figures
are blind still. They are what to expect of a model that does as it is told, and those of `blind3` of one that reckons.
The targets are held to wherever the claims keep to the prompt; what the two freer sets miss is told.

Each rate has n, and the 95% interval of Wilson (1927) for a share. `CORPUS_DIR` names a folder with more articles;
there the claims are the articles' own sentences. The second measure sets the excerpts against as many words from the
article's beginning, by ROUGE-1 against the author's own description, with the difference within each article. On
220 essays with a description by their author the F1 of the excerpts is 0.173 and of the first sentences 0.134 (the
difference is 0.040 ± 0.111, standard error 0.007).
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from newsletter import grounding, sections, sentences
from newsletter.fulltext import light_text
from newsletter.grounding.names import names_in
from newsletter.grounding.numbers import numbers_in
from newsletter.grounding.source import Source as Searchable
from newsletter.grounding.source import plain_text
from newsletter.sections import SectionSpec
from newsletter.values import Claim, Piece, Section, SectionShape, Source, Summary, SummaryKind, TextOrigin
from newsletter.writers import WritingError
from newsletter.writers.excerpts import Excerpts

SEED = 20260601
TARGETS = {
    "number changed": 0.95,
    "name swapped": 0.80,
    "quote altered": 1.0,
    "quote invented": 1.0,
    "venue as author": 1.0,
}
MOST_FALSE_ALARMS = 0.02
SETS = {
    "seen": "Claims that were blind at first, and were looked at since",
    "blind": "Claims of a second set, blind at first",
    "blind2": "Claims of a third set, by a freer writer, blind at first",
    "blind3": "Claims of a fourth set, by the freer writer",
    "prompted": "Claims of the last set, written to the prompt, blind",
}
"""The folders of hand-written claims, in the order in which they were made."""
FREER = ("blind2", "blind3")
"""Sets whose claims reckon, which the prompt forbids."""
HERE = Path(__file__).resolve().parent
SPEC = SectionSpec("takeaways", "Key takeaways", "", SectionShape.LIST, asked=5, published=3, least=1)
STRANGERS = (
    "Halvorsen",
    "NorthLab",
    "Merlin-9B",
    "Quillbench",
    "Castellan",
    "Deepwell",
    "Osprey-70B",
    "Ravenna",
)
VENUE_FRAMES = (
    "Researchers at {venue} report that {rest}",
    "{venue} researchers report that {rest}",
    "According to {venue}, {rest}",
    "A team from {venue} finds that {rest}",
    "{venue} shows that {rest}",
    "The authors at {venue} note that {rest}",
)
NEGATABLE = re.compile(r"\b(is|are|was|were|can|could|does|did|has|have|had|would|may|might|will|should)\b(?! not)")
NEGATED = re.compile(r"\b(is|are|was|were|can|could|does|did|has|have|had|would|may|might|will|should) not\b")


@dataclass(frozen=True)
class Case:
    """A claim about a piece."""

    piece: Piece
    claim: Claim


Fault = Callable[[Case, "Corpus", random.Random], Iterator[Claim]]


class Corpus:
    """Cases, and what faults are made from."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.searchable = {case.piece.url: Searchable(case.piece) for case in cases}

    def names(self, piece: Piece) -> list[str]:
        """Names that the piece's text has, as far as their writing tells."""
        source = self.searchable[piece.url]
        found = {name for paragraph in source.paragraphs for name in names_in(paragraph, source)}
        return sorted(name for name in found if name.casefold() not in source.uncapitalised and "'" not in name)

    def others(self, case: Case) -> list[Case]:
        """Cases about other pieces."""
        return [other for other in self.cases if other.piece.url != case.piece.url]


def number_changed(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """For each number two others in its place: one that the piece has elsewhere, and one of the same make."""
    sentence = plain_text(case.claim.sentence)
    values = {number.value for number in numbers_in(sentence, every_one=True)}
    elsewhere = re.findall(r"\b\d[\d,.]*\d\b", plain_text(case.piece.text))
    for number in numbers_in(sentence):
        others = [changed_value(number.written, rng)]
        if elsewhere and re.fullmatch(r"[\d.,]+", number.written):
            others.append(rng.choice(elsewhere))
        for other in others:
            changed = sentence.replace(number.written, other, 1)
            if any(new.value not in values for new in numbers_in(changed, every_one=True)):
                yield Claim(changed, case.claim.quotes)


def changed_value(written: str, rng: random.Random) -> str:
    """A number written in the same way, with another value."""
    digits = re.search(r"\d[\d,.]*\d|\d", written)
    if not digits:
        words = [
            word
            for word in [
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "eleven",
                "thirteen",
            ]
            if word not in written
        ]
        return written.replace(written.strip(), rng.choice(words))
    place = rng.randrange(len(digits.group()))
    while not digits.group()[place].isdigit():
        place = rng.randrange(len(digits.group()))
    new = rng.choice([d for d in "123456789" if d != digits.group()[place]])
    changed = digits.group()[:place] + new + digits.group()[place + 1 :]
    return written.replace(digits.group(), changed, 1)


def name_swapped(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """For each name two others in its place: one that the piece has elsewhere, and a stranger's."""
    sentence = plain_text(case.claim.sentence)
    own = [name for name in corpus.names(case.piece) if name not in sentence]
    for name in names_in(sentence, corpus.searchable[case.piece.url]):
        for other in (*([rng.choice(own)] if own else []), rng.choice(STRANGERS)):
            yield Claim(re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", other, sentence), case.claim.quotes)


def negated(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """Yes for no, or no for yes."""
    sentence = case.claim.sentence
    if NEGATED.search(sentence):
        yield Claim(NEGATED.sub(r"\1", sentence, count=1), case.claim.quotes)
    elif NEGATABLE.search(sentence):
        yield Claim(NEGATABLE.sub(r"\1 not", sentence, count=1), case.claim.quotes)


def quote_altered(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """A word of a quote left out, put in or exchanged."""
    quotes = list(case.claim.quotes)
    index = rng.randrange(len(quotes))
    words = quotes[index].split()
    place = rng.randrange(1, max(2, len(words) - 1))
    way = rng.randrange(3)
    if way == 0:
        words.insert(place, "not")
    elif way == 1 and len(words) > 5:
        del words[place]
    else:
        words[place : place + 1] = ["nearly", "every"]
    quotes[index] = " ".join(words)
    yield Claim(case.claim.sentence, tuple(quotes))


def quote_invented(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """The claim itself, a little turned, as its quote."""
    quote = "we find that " + case.claim.sentence.rstrip(".").lower()
    yield Claim(case.claim.sentence, (quote,))


def from_nowhere(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """A claim about another piece with this one's quotes."""
    others = corpus.others(case)
    if others:
        yield Claim(rng.choice(others).claim.sentence, case.claim.quotes)


def venue_as_author(case: Case, corpus: Corpus, rng: random.Random) -> Iterator[Claim]:
    """The venue as the one who found it."""
    sentence = case.claim.sentence
    rest = sentence if sentence.split()[0] in corpus.names(case.piece) else sentence[0].lower() + sentence[1:]
    yield Claim(rng.choice(VENUE_FRAMES).format(venue=case.piece.source.name, rest=rest), case.claim.quotes)


FAULTS: dict[str, Fault] = {
    "number changed": number_changed,
    "name swapped": name_swapped,
    "negation": negated,
    "quote altered": quote_altered,
    "quote invented": quote_invented,
    "claim from nowhere": from_nowhere,
    "venue as author": venue_as_author,
}


def failures(piece: Piece, claim: Claim) -> list[grounding.Finding]:
    """What grounding holds against one claim."""
    section = Section(SPEC.key, SPEC.heading, SPEC.shape, ((claim,),))
    summary = Summary(SummaryKind.DIGEST, (section,), "bench")
    return list(grounding.check(summary, piece, (SPEC,)).failures)


def samples() -> list[Piece]:
    """The bundled sample articles."""
    from xml.etree import ElementTree

    folder = HERE.parent / "newsletter" / "samples"
    atom, creator = "{http://www.w3.org/2005/Atom}", "{http://purl.org/dc/elements/1.1/}creator"
    found = []
    for name in ("fieldnotes", "quarterly"):
        root = ElementTree.parse(folder / f"{name}.xml").getroot()
        venue = root.findtext("channel/title") or root.findtext(f"{atom}title") or ""
        for item in (*root.iter("item"), *root.iter(f"{atom}entry")):
            title = item.findtext("title") or item.findtext(f"{atom}title") or ""
            link = item.findtext("link") or next((link.get("href", "") for link in item.iter(f"{atom}link")), "")
            names = [node.text for node in item.iter(creator)] + [
                n.findtext(f"{atom}name") for n in item.iter(f"{atom}author")
            ]
            html = item.findtext("{http://purl.org/rss/1.0/modules/content/}encoded") or item.findtext(f"{atom}content")
            page = folder / "pages" / f"{link.rstrip('/').rsplit('/', 1)[-1]}.html"
            text = light_text(html or (page.read_text("utf-8") if page.exists() else ""))
            authors = tuple(name for name in names if name)
            found.append(
                Piece(title, link, Source(name, venue, ""), authors=authors, text=text, origin=TextOrigin.FEED)
            )
    return found


def tuned_cases() -> list[Case]:
    """The hand-written claims on the bundled samples; the checks have been mended by them."""
    by_title = {piece.title: piece for piece in samples()}
    text = (HERE / "data" / "claims.txt").read_text("utf-8").partition("\n\n")[2]
    chapters = (chapter.partition("\n") for chapter in re.split(r"^# ", text, flags=re.MULTILINE)[1:])
    return [case for title, _, claims in chapters for case in cases_of(by_title[title], claims)]


def cases_in(folder: str) -> list[Case]:
    """The hand-written claims of a folder, on the articles beside them. Raises ValueError for a quote that is none."""
    found = []
    for file in sorted((HERE / "data" / folder).glob("*.txt")):
        article, _, claims = file.read_text("utf-8").partition("\n== claims\n")
        head, _, text = article.partition("\n\n")
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        authors, venue = tuple(facts["Authors"].split("; ")), Source(file.stem, facts["Venue"], "")
        piece = Piece(facts["Title"], file.name, venue, authors=authors, text=text.strip(), origin=TextOrigin.FEED)
        found += cases_of(piece, claims)
    return found


def cases_of(piece: Piece, text: str) -> Iterator[Case]:
    """Claims one per line, each followed by its quotes on lines that begin with ``> ``."""
    for paragraph in re.findall(r"^(?!> )(.+)\n((?:> .+\n?)+)", text, flags=re.MULTILINE):
        sentence, quotes = paragraph[0], tuple(line[2:] for line in paragraph[1].splitlines())
        missing = [quote for quote in quotes if plain_text(quote) not in plain_text(piece.text)]
        if missing:
            raise ValueError(f"{piece.title}: the text does not hold {missing[0]!r}")
        yield Case(piece, Claim(sentence, quotes))


def corpus_pieces(folder: Path) -> list[tuple[Piece, str]]:
    """Articles of a folder, each with its author's description (empty when unknown)."""
    listed = next(iter(sorted(folder.rglob("pieces.json"))), None)
    known = (
        {entry["file"]: entry for entry in json.loads(listed.read_text("utf-8")) if entry.get("file")} if listed else {}
    )
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".html", ".txt", ".md")):
        facts = known.get(file.name, {})
        raw = file.read_text("utf-8", "replace")
        text = light_text(raw) if file.suffix == ".html" else raw
        if len(text.split()) >= 250:
            venue = Source("corpus", str(facts.get("venue", "The Corpus Review")), "")
            authors = tuple(facts.get("authors", ()))
            title = str(facts.get("title", file.stem.replace("-", " ")))
            piece = Piece(title, file.name, venue, authors=authors, text=text, origin=TextOrigin.FEED)
            found.append((piece, str(facts.get("description") or "")))
    return found


def quoted_cases(pieces: Sequence[Piece], rng: random.Random) -> list[Case]:
    """Up to 20 sentences of each piece as claims with themselves as quotes."""
    cases = []
    for piece in pieces:
        said = [s.text for s in sentences.sentences(piece.text) if not s.is_heading and 8 <= len(s.text.split()) <= 40]
        said = [text for text in said if re.fullmatch(r"[A-Z].*[.!]", text)]
        cases += [Case(piece, Claim(text, (text,))) for text in rng.sample(said, min(20, len(said)))]
    return cases


def measure(cases: Sequence[Case], name: str, out: Callable[[str], None]) -> dict[str, float]:
    """Print detection per kind of fault and false alarms per claim, with n; return the rates."""
    corpus, rates = Corpus(cases), {}
    out(f"\n{name}: {len(cases)} true claims about {len(corpus.searchable)} articles")
    accused = [(case, found) for case in cases if (found := failures(case.piece, case.claim))]
    rates["false alarms"] = len(accused) / len(cases)
    out(f"  false alarms         {share(len(accused), len(cases))}")
    for fault, count in Counter(found[0].fault for _, found in accused).most_common():
        out(f"      {fault}: {count}")
    for kind, plant in FAULTS.items():
        rng = random.Random(f"{SEED} {kind}")
        planted = [(case.piece, claim) for case in cases for claim in plant(case, corpus, rng)]
        by = Counter(next((found.fault for found in failures(*one)), "") for one in planted)
        caught = len(planted) - by[""]
        rates[kind] = caught / max(1, len(planted))
        how = ", ".join(f"{fault} {count}" for fault, count in by.most_common(3) if fault)
        out(f"  {kind:20} {share(caught, len(planted))}  ({how})")
    return rates


def share(part: int, whole: int) -> str:
    """A share with its n and the 95% interval of Wilson (1927)."""
    z, n = 1.96, max(1, whole)
    p = part / n
    middle, half = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return f"{part:4} of {whole:4}  {p:.3f} ({max(0.0, low):.3f} to {min(1.0, high):.3f})"


def rouge(text: str, reference: str) -> tuple[float, float]:
    """ROUGE-1 (Lin, 2004): recall and F1 of single words, stop words left out on both sides."""
    mine, theirs = Counter(sentences.content_words(text)), Counter(sentences.content_words(reference))
    shared = sum((mine & theirs).values())
    recall, precision = shared / max(1, sum(theirs.values())), shared / max(1, sum(mine.values()))
    return recall, 2 * recall * precision / (recall + precision) if shared else 0.0


def measure_excerpts(pieces: Sequence[tuple[Piece, str]], out: Callable[[str], None]) -> None:
    """Print ROUGE-1 of the excerpts and of the first sentences, both cut to the same number of words."""
    scores = defaultdict[str, list[tuple[float, float]]](list)
    for piece, description in pieces:
        try:
            summary = Excerpts(sections.load(("summary",))).write(piece)
        except WritingError:
            continue
        picked = " ".join(text for section in summary.sections for text in section.texts).split()
        body = (s.text for s in sentences.sentences(piece.text) if not s.is_heading and s.text not in description)
        first = " ".join(body).split()
        length = min(len(picked), len(first))
        scores["excerpts"].append(rouge(" ".join(picked[:length]), description))
        scores["first sentences"].append(rouge(" ".join(first[:length]), description))
    out(f"\nROUGE-1 against the author's description, {len(scores['excerpts'])} articles (mean, spread)")
    for name, found in scores.items():
        recall, f1 = ([score[i] for score in found] for i in (0, 1))
        out(
            f"  {name:16} recall {statistics.mean(recall):.3f} ± {statistics.pstdev(recall):.3f}"
            f"   F1 {statistics.mean(f1):.3f} ± {statistics.pstdev(f1):.3f}"
        )
    ours, first = scores["excerpts"], scores["first sentences"]
    for place, measured in enumerate(("recall", "F1")):
        by = [mine[place] - theirs[place] for mine, theirs in zip(ours, first, strict=True)]
        spread = statistics.stdev(by) if len(by) > 1 else math.nan
        better = sum(difference > 0 for difference in by)
        out(
            f"  difference in {measured:6}  {statistics.mean(by):+.3f} ± {spread:.3f}, standard error "
            f"{spread / math.sqrt(len(by)):.3f}; the excerpts are nearer for {better} of {len(by)}"
        )


def verdict(name: str, rates: dict[str, float], out: Callable[[str], None]) -> bool:
    """Print what misses its target in a set; whether nothing does."""
    missed = [f"{kind} {rates[kind]:.3f} < {least}" for kind, least in TARGETS.items() if rates[kind] < least]
    if rates["false alarms"] > MOST_FALSE_ALARMS:
        missed.append(f"false alarms {rates['false alarms']:.3f} > {MOST_FALSE_ALARMS}")
    out(f"  {name}: {'all targets are met' if not missed else 'missed: ' + '; '.join(missed)}")
    return not missed


def main() -> int:
    """Measure all, and exit with 1 when a target is missed in a set whose claims keep to the prompt."""
    rates = {"samples": measure(tuned_cases(), "Claims on the samples, by which the checks were mended", print)}
    rates |= {folder: measure(cases_in(folder), about, print) for folder, about in SETS.items()}
    folder = os.environ.get("CORPUS_DIR")
    pieces = corpus_pieces(Path(folder)) if folder else []
    if pieces:
        measure(quoted_cases([piece for piece, _ in pieces], random.Random(SEED)), f"Sentences of {folder}", print)
    described = [(piece, description) for piece, description in pieces if description]
    if described:
        measure_excerpts(described, print)
    print()
    are_met = {name: verdict(name, found, print) for name, found in rates.items()}
    return 0 if all(is_met for name, is_met in are_met.items() if name not in FREER) else 1


if __name__ == "__main__":
    sys.exit(main())
