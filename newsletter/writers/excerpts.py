"""The writer without a key: whole sentences of the author's own, picked by rule and marked as excerpts.

Each sentence is scored (how much of the text is in its words, how much of the title, where it stands, what cue
phrases it has) and picked by maximal marginal relevance (Carbonell and Goldstein, 1998), so that no two say the
same. Only sentences that can be read without their neighbours are picked. A section that cannot be filled with
such sentences is left out, and *What you can build* always is: no author's sentence is a suggestion of ours.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from newsletter.sections import SectionSpec
from newsletter.sentences import STOP_WORDS, Sentence, content_words, reading_words, sentences
from newsletter.values import Claim, Piece, Section, SectionShape, Summary, SummaryKind
from newsletter.writers import WritingError

VERSION = "1"
"""Goes up whenever another sentence may be picked from the same text."""

SHORT_TEXT = 120
"""Words up to which a text is given whole."""
OPENING_WORDS = (90, 160)
OPENING_SENTENCES = 6
CONSEQUENCE_SENTENCES = 2
SENTENCE_WORDS = (6, 45)
ITEM_WORDS = (8, 40)
ANY_WORDS = (3, 100)
"""Words of a sentence when the text has none of a better length."""
ALIKE = 0.45
"""From this cosine on two sentences say the same."""
FIRST_WORDS = 9
"""So far into a sentence a pronoun has hardly anything in it to stand for."""
COMMON = 0.4
"""A word in more than this part of the sentences tells nothing: stop words of any language."""
ENOUGH_TO_COUNT = 12
"""Sentences from which on such parts mean something."""


def _phrases(*lines: str) -> re.Pattern[str]:
    """Any of the phrases (regular expressions), from the start of a word, in any case."""
    return re.compile(r"\b(?:" + "|".join(lines) + ")", re.IGNORECASE)


_WORK = (
    r"(?:[\w-]+ )?(?:post|paper|essay|article|work|study|report|review|survey|tutorial|blog ?post|thesis|piece)\b"
)
_OF_THE_PIECE = _phrases(rf"(?:in )?this {_WORK}")
"""The piece that speaks of itself, which its reader has at hand."""

_DANGLING_WORDS = frozenset(
    # pronouns
    "this these those that it its they their them theirs such he she his her him hers it's they're that's there's he's "
    "she's both neither either another other others which who whose whom here here's "
    # connectives
    "then thus hence therefore thereby however but and or nor so yet also furthermore moreover additionally besides "
    "instead rather likewise similarly conversely nevertheless nonetheless still meanwhile otherwise accordingly "
    "consequently finally lastly first firstly second secondly third thirdly fourth next again indeed further too "
    "anyway specifically especially namely concretely later earlier previously afterwards afterward except "
    "whereas like just last mechanistically "
    # the voice of a talk, and of an example
    "yes no well ok okay sure actually now right recall let let's suppose imagine consider say see remember "
    # German, French, Spanish
    "jedoch aber und oder denn dies diese dieser dieses diesem diesen allerdings dennoch deshalb daher außerdem dabei "
    "dadurch damit dazu zudem sie er es dann auch hier cependant mais et ou donc cela ceci ces cette cet pourtant "
    "toutefois ainsi ils elles pero este esta esto estos estas eso esos ellos además así".split()
)
_SELF_CONTAINED = re.compile(
    r"(?:rather than|instead of|other than|besides the|too (?:much|many|few|little)|now that|both \w+ and|neither \w+ nor|"
    r"either \w+ or|like (?:most|many|all|any|other))\b",
    re.IGNORECASE,
)
"""Beginnings with one of those words that bring along what they hang on."""
_BACK = r"(?:this|these|those|that|they|them|it|such|he|she|both|each|either)\b"
_DANGLING_PHRASES = _phrases(
    r"the (?:former|latter|same|others?|above|below|second|third|next|last|first|following|previous|rest|remaining)\b",
    r"in (?:fact|contrast|comparison|other words|addition|particular|turn|response|that|each)\b",
    r"in (?:this|the) (?:case|way|sense|setting|example|context|regard|respect|light|scenario|section|figure|table|"
    r"situation|view|world|story|environment|setup|game|latter|former|first|second|next|chapter|part|meantime|end)\b",
    r"in which\b|you know\b|along the way\b|of course\b|for (?:example|instance|comparison|now)\b|by (?:contrast|comparison|doing)\b|doing (?:so|this|that)\b",
    r"on the (?:other|one|contrary)\b|at the same time\b|after all\b|above all\b|all in all\b|not only that\b|since then\b",
    r"as (?:a result|such|an example|before|mentioned|noted|discussed|described|usual|shown|we (?:saw|will|discuss))\b",
    r"even (?:so|then|if so|worse|better|more)\b|either way\b|if (?:so|not)\b|to (?:do so|this end|that end|be clear)\b",
    r"more (?:specifically|precisely|concretely|importantly|generally|broadly|formally)\b",
    r"to (?:illustrate|see|recap|begin|start)\b|similar(?:ly)? to\b|at (?:first|this|that)\b|one (?:such|way|could|might)\b",
    rf"(?:if|when|once|while|although|though|since|unless|as|for|with|by|from|on|of|to|in|at|after|before|given|despite|"
    rf"under|using|without|because|because of|among|beyond|unlike|all|{_BACK} of) {_BACK}",
    rf"(?:all|many|each|none|one|two|three|several|few|any|most|some|part) of (?:which|{_BACK})",
    r"(?:some|many|few|several|two|three) (?:are|is|have|has|do|will|may|can|argue)\b",
    r"(?:sin embargo|por ejemplo|de plus|en effet|par exemple|zum beispiel)\b",
)
_POINTS_BACK = _phrases(
    rf"(?:this|these|those) (?!{_WORK})|(?:they|them|their|its?|he|she|him|his|her|such|the (?:former|latter|same))\b"
)
_DEMONSTRATIVE = _phrases(rf"(?:this|these|those|such) (?!as\b|an?\b|that\b|who\b|which\b|{_WORK})")
_SHOWN = (
    r"(?:figure|table|plot|graph|diagram|chart|image|picture|panel|caption|animation|video|screenshot|slider|widget|"
    r"footnote|appendix|equation|section|subsection|chapter|paragraph|slide|snippet|listing)s?\b"
)
_REFERS = _phrases(
    r"(?:fig(?:ure|s|\.)?|tables?|eqs?\.?|equations?|sections?|appendix|appendices|chapters?|algorithm|theorem|lemma|"
    r"proposition|definition|corollary|footnote|listing|panel|part) ?\(?(?:\d|[A-Z]\b|[ivx]+\b)",
    rf"(?:this|these|next|previous|last|above|left|right|final|bar|line|box|scatter) {_SHOWN}",
    rf"(?:the|a|our) (?:\w+ )?{_SHOWN}(?= (?:show|illustrat|depict|above|below|plot|display|compar|summari)|[.,;:)])",
    r"(?:see|saw|seen|shown?|discuss(?:ed)?|described?|listed|explain(?:ed)?|mentioned|noted|defined|given|presented|"
    r"provided|introduced|said|covered|argued|illustrated|outlined|demonstrated)\b(?: \w+){0,3} "
    r"(?:above|below|later|earlier|before|here|previously)\b",
    r"(?:above|below)[-.,;:)]|the (?:above|below|following)\b|as follows\b|click\b|scroll\b|hover\b|take a look\b",
    r"(?:earlier|previous|next|last|later|prior|other|upcoming|following|my|first|second|third) (?:blog ?)?(?:posts?|"
    r"essays?|articles?)\b|this sequence\b|the (?:rest|remainder) of (?:the|this|my|our)\b|table of contents\b",
    r"before (?:we|i) \w+|(?:we|i) (?:\w+ ){0,2}(?:earlier|previously)\b|(?:we|i)(?: will|['’]ll| shall| now| first| then) (?:now |first |then |briefly )?(?:discuss|"
    r"describe|review|turn|return|begin|start|go over|walk|look at|see|define|use the)\b",
)
"""Words that point to what a reader of excerpts does not see."""
_NOT_THE_MATTER = _phrases(
    r"epistemic status\b|acknowledge?ments?\b|thanks? (?:to|you|for|go)\b|(?:grateful|thankful|indebted)\b",
    r"(?:i|we)(?:['’]d like to| would like to| want to)? (?:deeply )?(?:thank|acknowledge)\b|produced as part of\b",
    r"equal contributions?\b|contributed equally\b|cross-?posted\b|(?:originally|first) (?:posted|published|appeared)\b",
    r"appeared first on\b|(?:supported|funded) by (?:the|a|grants?)\b|feedback (?:on|from)\b|drafts? of this\b",
    r"subscribe\b|sign up\b|newsletter\b|mailing list\b|leave a comment\b|in the comments\b|follow (?:me|us)\b",
    r"apply (?:here|now|to|by)\b|job openings?\b|contact (?:me|us)\b|feel free to\b|skip (?:to|this|ahead)\b",
    r"(?:code|data|models?|weights|implementation|repo(?:sitory)?|notebook)\b[^.]{0,60}\b(?:available|found|released) "
    r"(?:at|on|here|in|under)\b|github\b|google doc\b|bibtex\b|cite (?:this|us|as)\b",
    r"correspond(?:ence|ing author)\b|all rights reserved\b|licen[sc]ed under\b|copyright\b",
    r"read(?:ers?)? (?:more|may|can|should|might|the (?:full|paper|rest|whole))\b|(?:full|original) (?:paper|post) (?:is|can)\b",
    r"published (?:on|at|in) (?:\w+ )?\d|(?:last )?updated (?:on )?(?:\w+ )?\d|blog ?post (?:is|was) (?:based|part|structured)\b",
    r"(?:work|research|project|internship) (?:was |is )?(?:done|conducted|performed|carried out) (?:as|by|during|while|at)\b",
)
_LABEL = re.compile(
    r"(?:figure|fig|table|notes?|left|right|top|bottom|source|image|photo|caption|credit|authors?|by|posted|published|updated|"
    r"edit|edited|update|disclaimer|content warning|warning|status|question|answer|q|a|example|definition|theorem|lemma|proof|"
    r"claim|remark|terminology|user|assistant|system|prompt|human|model|step|part|footnote|exercise|problem|solution|hint|"
    r"input|output)\b\.? ?[\dA-Z]{0,3} ?[:.)|—–-](?!\w)"
    r"|(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]\s|[^\w\"“‘'«„¿¡$€£「『]",
    re.IGNORECASE,
)
"""A beginning that labels a picture, a list or a speaker, or no beginning of a sentence at all."""
_IMPERATIVE = re.compile(
    r"(?:take|look|read|check|note|test|try|use|write|order|think|ask|give|make|keep|start|run|train|compare|notice|observe|"
    r"remember|pick|choose|find|add|put|go|come|do|don['’]t|avoid|stop|list|explain|describe|answer|return|focus|play|move|"
    r"watch|open|drag|select|press|download|join) (?:the|an?|your|our|this|at|on|for|in|to|all|each|every|it|me|us|how|what|that|"
    r"whether|if|some|one|not|features?|back|out|about|with)\b",
    re.IGNORECASE,
)
_RESIDUE = re.compile(
    r"https?:|www\.|\S@\S|(?<!\w)@\w|[\\`{}|<>~^]|\$[^\d\s]|\$\S*\$|[∑∫∈∀∃≜↦∇∂∏⊂⊆≡∝ℝ𝔼]|\w_\w|\w\(\)|==|:=|&\w+;"
    r"|[\[(]\s*[,;]?\s*[\])]|\s[,;.](?:\s|$)|,\s*[.,]|[\[(]\d{1,3}[\])]|\[\^|!\[|\.\.|…|\]$"
    r"|\b(?:and|or|of|by|in|the|to|with|see|from|at|an?|e\.g|cf)[.,]$",
    re.IGNORECASE,
)
"""Code, formulas, addresses, and the holes that citations and pictures leave behind."""
_RUN_IN_HEADING = re.compile(
    r"[^\W_][)’'\"”]? (?:The|An|We|This|These|If|In|For|When|Our|It|There|However|Imagine|Suppose|Here|While|As|Let|You|They|"
    r"What|How|Why) [a-z]|[a-z]{3} A [a-z]{2,}(?<!is)(?<!has)(?<!and)(?<!was) "
)
"""A small heading that stands in the sentence's own line, as bold words at the start of a paragraph do."""
_BACK_MATTER = re.compile(
    r"(?:acknowledge?ments?|references|bibliography|further reading|related (?:posts|reading|work|literature)|citation|cite|"
    r"(?:author )?contributions?|footnotes?|notes|about|changelog|comments|see also|supplement\w*|(?:table of )?contents|"
    r"terminology|definitions?|glossary|notation|proofs?|exercises|preliminaries)\b|.*\bprompts?\b",
    re.IGNORECASE,
)
_APPENDIX = re.compile(r"(?:[A-Z\d.]+ )?(?:appendi(?:x|ces)|acknowledge?ments?|references|bibliography)\b", re.IGNORECASE)
_CONCLUSION = _phrases(
    r"conclusions?\b|concluding\b|summary\b|discussion\b|take-?aways?\b|tl;?dr\b|limitations?\b|results?\b|findings?\b",
    r"implications?\b|lessons?\b|abstract\b|closing\b|final thoughts\b",
)
_AUTHOR = r"(?:we|i|the authors?) (?:[a-z]+ly |also |then |thus |further |overall )?"
_ANNOUNCES = _phrases(
    rf"{_AUTHOR}(?:propose|introduce|present|study|investigate|explore|examine|show|find|argue|demonstrate|claim|describe|"
    r"develop|analy[sz]e|explain|evaluate|discuss|offer|review|prove|derive|suggest|compare|test|train|conclude|believe|think)\b",
    rf"this {_WORK}|(?:our|my) (?:\w+ )?(?:goal|aim|approach|method|contributions?|results?|findings?|work|thesis|argument|"
    r"claim|hypothesis|proposal)\b|tl;?dr\b|in (?:short|summary|brief|a nutshell)\b",
    r"the (?:main|key|central|core|basic|big) (?:\w+ )?(?:idea|point|claim|question|problem|insight|result|finding|lesson|takeaway|"
    r"argument)\b",
)
_RESULT = _phrases(
    rf"{_AUTHOR}(?:find|found|showe?d?|demonstrated?|observed?|discover(?:ed)?|proved?|concluded?|learned|saw|estimated?)\b",
    r"(?:results?|findings?|experiments?|evidence|data|analysis) (?:\w+ )?(?:show|suggest|indicate|imply|demonstrate|confirm|"
    r"support|reveal)s?\b|(?:in (?:conclusion|summary|short)|overall|to summari[sz]e|importantly|surprisingly|crucially)\b",
    r"(?:outperform(?:s|ed)?|improve[sd]?|reduce[sd]?|increase[sd]?|decrease[sd]?|boost(?:s|ed)?|achieve[sd]?|exceed(?:s|ed)?|"
    r"matche[sd]|halve[sd]?|double[sd]?|generali[sz]e[sd]?)\b|(?:suggest|implie|mean)s that\b",
    r"(?:key|main|most important|biggest|central) (?:\w+ )?(?:insight|takeaway|finding|lesson|result|point|reason|challenge|problem)\b",
    r"(?:better|worse|faster|more|less|fewer|higher|lower|larger|smaller) [\w -]{0,30}\bthan\b",
)
_LIMIT = _phrases(
    r"limit(?:ation|ed|s)\b|(?:did|does|do|is|are|was|were|can|could|may|might|would|should|will)(?: not|n['’]t)\b|cannot\b",
    r"fail(?:s|ed)? to\b|only (?:when|if|for|works?|in)\b|unless\b|caveats?\b|unclear\b|uncertain\b|unknown\b|open question\b",
    r"insufficient\b|no evidence\b|remains?\b|despite\b|even (?:though|when|if)\b",
)
_NUMBER = re.compile(
    r"\d(?:[\d.,]*\d)?\s?(?:%|percent|x\b|×|times\b|points?\b|[kKMB]\b)|\b(?:half|twice|one-third|two-thirds|double|triple)\b"
    r"|\b\d+ (?:of|out of)\b"
)
_CONSEQUENCE = _phrases(
    r"(?<!not )matters? (?:because|for|since)\b|(?:important|crucial|critical|essential|valuable|worrying|concerning) because\b",
    r"(?<!could )(?<!would )(?<!might )impl(?:y|ies) (?:that\b|(?:we|they|it|labs?|researchers) (?:should|might|can|could|must)\b)",
    r"(?:practical |important |broader )?implications? (?:of|for|is|are)\b|consequences? (?:for|is that)\b",
    r"(?:we|researchers|practitioners|(?:\w+ )?developers|labs?|companies|engineers|the (?:field|community)|policymakers) "
    r"(?:\w+ )?(?:should|ought to)\b(?! be able)",
    r"(?:we|i) (?:\w+ )?recommend\b|our recommendations?\b|casts? doubt\b|in practice, [^.]*\b(?:should|means)\b",
    r"our (?:\w+ )?(?:results?|findings?|evidence|work|experiments?|analysis) (?:\w+ )?(?:suggests?|impl(?:y|ies)|calls?|opens?|highlights?)\b",
)
_ENDS_WHOLE = re.compile(r"[.!。！｡．۔।][\"'“”’»›)\]」』]*$")
_ASKS = re.compile(r"[?？؟][!.\"'“”’»›)\]」』]*$")
_CUT_OFF = re.compile(r"(?:\.\.\.|…|\])$")
_QUOTATION = re.compile(r"[\"“«「„]")
_PAIRS = ("()", "[]", "“”", "«»", "「」", "『』", "（）")


@dataclass(frozen=True, slots=True)
class Weights:
    """What each sign of a good opening sentence counts: found on half of a corpus, measured on the other half.

    ``half`` is the number of sentences over which the bonus of standing early halves; ``near`` is for a sentence
    beside one already picked, ``novelty`` against one that is like it.
    """

    centroid: float = 1.0
    title: float = 0.8
    lead: float = 0.6
    half: float = 16.0
    first: float = 0.15
    cue: float = 0.3
    length: float = 0.05
    vague: float = 0.3
    known: float = 0.15
    item: float = 0.15
    quotes: float = 0.2
    near: float = 0.15
    novelty: float = 0.5


_POINTS = ((_RESULT, 1.0), (_LIMIT, 0.5), (_NUMBER, 0.6))
"""What makes a sentence a takeaway, and how much."""
_LIST_WEIGHTS = Weights(near=0.0, novelty=0.7)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that can be read alone, and what can be said of it.

    ``place`` counts the sentences of the prose from 0, ``depth`` is the part of the text before it (0 to 1).
    ``centroid`` and ``title`` say how much of the text and of the title its words carry, 1 for the best of the text.
    ``is_vague`` when its first words point back; ``is_known`` when it starts with "the" and a thing named before.
    """

    sentence: Sentence
    words: int
    vector: dict[str, float]
    centroid: float
    title: float
    place: int
    depth: float
    is_conclusion: bool
    is_vague: bool
    is_known: bool

    @property
    def text(self) -> str:
        """The sentence itself."""
        return self.sentence.text

    @property
    def quotations(self) -> float:
        """How much of it is others' words: none to two quotations."""
        return min(2.0, len(_QUOTATION.findall(self.text)) / 2)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the words of one text weigh: in its ``centre``, and by how few sentences have them."""

    centre: dict[str, float]
    rarity: dict[str, float]
    title: frozenset[str]

    def vector(self, bag: Counter[str]) -> dict[str, float]:
        """The words of a sentence as a vector of length 1; empty when nothing is left of them."""
        raw = {word: count * self.rarity[word] for word, count in bag.items() if word in self.rarity}
        norm = math.hypot(*raw.values())
        return {word: value / norm for word, value in raw.items()}


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Writes summaries of whole sentences of the author's own, without any key, network or model."""

    sections: tuple[SectionSpec, ...]
    weights: Weights = Weights()
    name: str = "excerpts"

    def fingerprint(self) -> str:
        """Names this writer, its version, its weights and its sections."""
        shape = repr((self.sections, self.weights))
        return f"{self.name} {VERSION} {hashlib.sha256(shape.encode()).hexdigest()[:16]}"

    def write(self, piece: Piece) -> Summary:
        """Pick the sentences of each section. Raises WritingError when the text has none that can be read alone."""
        chosen = self._choose(piece)
        if not chosen or ("summary" not in chosen and any(spec.key == "summary" for spec in self.sections)):
            raise WritingError(f"no sentence of its {piece.words} words can be read by itself")
        return Summary(
            kind=SummaryKind.EXCERPTS,
            sections=tuple(_section(spec, chosen[spec.key]) for spec in self.sections if spec.key in chosen),
            writer=self.name,
            prompt_version=VERSION,
            source_hash=hashlib.sha256(piece.text.encode("utf-8", "replace")).hexdigest(),
            words_read=piece.words,
            words_total=piece.words,
        )

    def _choose(self, piece: Piece) -> dict[str, list[list[str]]]:
        """The sentences of each section that can be filled, block by block, by the section's key."""
        specs = {spec.key: spec for spec in self.sections}
        chosen: dict[str, list[list[str]]] = {}
        length = reading_words(piece.text)
        whole = _whole_text(piece.text) if length <= SHORT_TEXT else []
        if whole:
            return {"summary": [whole]} if "summary" in specs else {}
        candidates = _candidates(piece, SENTENCE_WORDS) or _candidates(piece, ANY_WORDS)
        taken: list[Candidate] = []
        # The opening chooses first; a consequence is rarer than a result, so it chooses before the takeaways.
        for key in ("summary", "why_it_matters", "takeaways"):
            if key in specs:
                picked = self._picked(key, candidates, taken, length, specs[key].published)
                blocks = _blocks(specs[key], picked)
                if len(blocks) >= max(1, specs[key].least):
                    chosen[key] = blocks
                    taken += picked
        return chosen

    def _picked(
        self, key: str, candidates: Sequence[Candidate], taken: Sequence[Candidate], length: int, most: int
    ) -> list[Candidate]:
        if key == "summary":
            return _opening(candidates, length, self.weights)
        pick = _consequences if key == "why_it_matters" else _takeaways
        return pick([candidate for candidate in candidates if candidate not in taken], taken, most)


def stands_alone(text: str) -> bool:
    """Whether a sentence can be read without those around it, is no question, and is about the matter at all."""
    return (
        bool(_ENDS_WHOLE.search(text))
        and _begins_well(text)
        and _is_balanced(text)
        and not _RESIDUE.search(text)
        and not _RUN_IN_HEADING.search(text)
        and not _REFERS.search(text)
        and not _NOT_THE_MATTER.search(text)
    )


def hangs_on_another(text: str) -> bool:
    """Whether a sentence begins with a pronoun or a connective that needs the sentence before it."""
    start = text.lstrip("\"'“‘«„").replace("’", "'")
    if _OF_THE_PIECE.match(start) or _SELF_CONTAINED.match(start):
        return False
    first = start.split(maxsplit=1)[0].rstrip(",;:.!").lower() if start else ""
    return first in _DANGLING_WORDS or bool(_DANGLING_PHRASES.match(start))


def _begins_well(text: str) -> bool:
    starts_small = text[0].islower() and not any(char.isupper() for char in text[1:4])
    return not (starts_small or _LABEL.match(text) or _IMPERATIVE.match(text) or hangs_on_another(text))


def _is_balanced(text: str) -> bool:
    even = text.count('"') % 2 == 0
    return even and ("„" in text or all(text.count(opening) == text.count(closing) for opening, closing in _PAIRS))


def _whole_text(text: str) -> list[str]:
    """All sentences of a short text, except residue and what hangs on a sentence that is left out."""
    kept: list[str] = []
    before = -1
    for sentence in sentences(text):
        if sentence.is_heading or not _is_presentable(sentence.text):
            continue
        follows = kept and before == sentence.index - 1
        if follows or not (hangs_on_another(sentence.text) or _ASKS.search(sentence.text)):
            kept.append(sentence.text)
            before = sentence.index
    return kept


def _is_presentable(text: str) -> bool:
    ends = _ENDS_WHOLE.search(text) or _ASKS.search(text)
    return (
        bool(ends)
        and not text[0].islower()
        and _is_balanced(text)
        and not (_CUT_OFF.search(text) or _NOT_THE_MATTER.search(text) or "://" in text)
    )


def _candidates(piece: Piece, limits: tuple[int, int]) -> list[Candidate]:
    """The sentences of so many words that can be read alone, in the text's order, their shares brought to 0..1."""
    every = sentences(piece.text)
    prose = [sentence for sentence in every if not sentence.is_heading]
    bags = [_bag(sentence.text) for sentence in prose]
    terms = _terms(piece.title, bags)
    places = {sentence.index: place for place, sentence in enumerate(prose)}
    first_seen = _first_places(bags)
    found = []
    for sentence, is_conclusion in _of_the_matter(every):
        words = reading_words(sentence.text)
        if not limits[0] <= words <= limits[1] or not stands_alone(sentence.text):
            continue
        place = places[sentence.index]
        bag = bags[place]
        if bag:
            found.append(
                Candidate(
                    sentence=sentence,
                    words=words,
                    vector=terms.vector(bag),
                    centroid=sum(terms.centre.get(word, 0.0) for word in bag) / math.sqrt(len(bag)),
                    title=len(terms.title & bag.keys()) / math.sqrt(len(bag)),
                    place=place,
                    depth=place / len(prose),
                    is_conclusion=is_conclusion,
                    is_vague=_is_vague(sentence.text),
                    is_known=_is_known(sentence.text, place, first_seen, terms.title),
                )
            )
    return _shares(found)


def _shares(candidates: list[Candidate]) -> list[Candidate]:
    centroid = max((candidate.centroid for candidate in candidates), default=0.0) or 1.0
    title = max((candidate.title for candidate in candidates), default=0.0) or 1.0
    return [replace(one, centroid=one.centroid / centroid, title=one.title / title) for one in candidates]


def _bag(text: str) -> Counter[str]:
    """The words of a sentence that can tell what it is about: no numbers, no single letters."""
    return Counter(
        word for word in content_words(text) if (len(word) > 1 or not word.isascii()) and not word[0].isdecimal()
    )


def _terms(title: str, bags: Sequence[Counter[str]]) -> Terms:
    frequency = Counter(word for bag in bags for word in bag)
    many = len(bags) >= ENOUGH_TO_COUNT
    telling = {word: count for word, count in frequency.items() if not many or count <= COMMON * len(bags)}
    return Terms(
        centre={word: math.sqrt(count) for word, count in telling.items() if count > 1 or not many},
        rarity={word: math.log(1 + len(bags) / count) for word, count in telling.items()},
        title=frozenset(_bag(title)),
    )


def _first_places(bags: Sequence[Counter[str]]) -> dict[str, int]:
    """The sentence that first has each word."""
    first: dict[str, int] = {}
    for place, bag in enumerate(bags):
        for word in bag:
            first.setdefault(word, place)
    return first


def _is_vague(text: str) -> bool:
    """Whether its first words point back, or "this" or "these" does anywhere: in one sentence, to what?"""
    return bool(_POINTS_BACK.search(" ".join(text.split()[:FIRST_WORDS])) or _DEMONSTRATIVE.search(text))


def _is_known(text: str, place: int, first_seen: dict[str, int], title: frozenset[str]) -> bool:
    """Whether it starts with "the" and something that was named in a sentence before: "The climb", "The model"."""
    start = text.split()[:3]
    if start[0].lower() != "the" or (len(start) > 2 and start[2] in ("of", "that", "which")):
        return False
    return any(first_seen.get(word, place) < place and word not in title for word in content_words(" ".join(start)))


def _of_the_matter(every: Sequence[Sentence]) -> Iterator[tuple[Sentence, bool]]:
    """Sentences outside appendices and the like, and whether they stand under a heading that concludes."""
    is_matter, is_conclusion = True, False
    for sentence in every:
        if not sentence.is_heading:
            if is_matter:
                yield sentence, is_conclusion
        elif _APPENDIX.match(sentence.text) and sentence.index > len(every) / 3:
            return
        else:
            is_matter = not _BACK_MATTER.match(sentence.text)
            is_conclusion = bool(_CONCLUSION.search(sentence.text))


def _opening(candidates: Sequence[Candidate], length: int, weights: Weights) -> list[Candidate]:
    """The sentences that open a summary of a text of so many words, in the text's order."""
    least, most = OPENING_WORDS
    limits = (min(least, length * 0.4), max(SENTENCE_WORDS[1], min(most, length * 0.6)))
    worth = [(_worth(candidate, weights), candidate) for candidate in candidates]
    picked = _pick(worth, (), OPENING_SENTENCES, limits, weights)
    while len(picked) > 1 and picked[0].text.startswith("This"):
        picked = picked[1:]
    return picked


def _worth(candidate: Candidate, weights: Weights) -> float:
    """What a sentence is worth in the opening."""
    return (
        weights.centroid * candidate.centroid
        + weights.title * candidate.title
        + weights.lead * 2 ** (-candidate.place / weights.half)
        + weights.first * (candidate.sentence.place == 0)
        + weights.cue * bool(_ANNOUNCES.search(candidate.text))
        - weights.length * _off_length(candidate)
        - weights.vague * candidate.is_vague
        - weights.known * candidate.is_known
        - weights.item * candidate.sentence.is_list_item
        - weights.quotes * candidate.quotations
    )


def _off_length(candidate: Candidate) -> float:
    return min(1.0, abs(candidate.words - 22) / 20)


def _pick(
    worth: Sequence[tuple[float, Candidate]],
    taken: Sequence[Candidate],
    most: int,
    words: tuple[float, float],
    weights: Weights,
) -> list[Candidate]:
    """Greedily the sentences worth most, each unlike those taken and picked before it, in the text's order.

    Ends at ``most`` sentences or when ``words[0]`` words are there, and passes over what would make more than
    ``words[1]`` words.
    """
    likeness = [max((_likeness(one, other) for other in taken), default=0.0) for _, one in worth]
    picked: list[int] = []
    total = 0
    while len(picked) < most and total < words[0]:
        beside = {worth[at][1].place + step for at in picked for step in (-1, 1)}
        open_ones = [
            (score - weights.novelty * likeness[at] + weights.near * (one.place in beside), -one.place, at)
            for at, (score, one) in enumerate(worth)
            if at not in picked and likeness[at] < ALIKE and total + one.words <= words[1]
        ]
        if not open_ones:
            break
        best = max(open_ones)[2]
        picked.append(best)
        total += worth[best][1].words
        likeness = [max(old, _likeness(one, worth[best][1])) for old, (_, one) in zip(likeness, worth, strict=True)]
    return sorted((worth[at][1] for at in picked), key=lambda one: one.place)


def _likeness(one: Candidate, other: Candidate) -> float:
    """Cosine of two sentences."""
    small, large = sorted((one.vector, other.vector), key=len)
    return sum(value * large[word] for word, value in small.items() if word in large)


def _takeaways(candidates: Sequence[Candidate], taken: Sequence[Candidate], most: int) -> list[Candidate]:
    """Results, limits and conclusions that say something new, at most so many."""
    worth = [
        (_point(one), one)
        for one in candidates
        if ITEM_WORDS[0] <= one.words <= ITEM_WORDS[1] and _is_clear(one) and _makes_a_point(one)
    ]
    return _pick(worth, taken, most, (math.inf, math.inf), _LIST_WEIGHTS)


def _consequences(candidates: Sequence[Candidate], taken: Sequence[Candidate], most: int) -> list[Candidate]:
    """What the author says should follow, in so many words; one paragraph of it."""
    worth = [(_point(one), one) for one in candidates if _is_clear(one) and _CONSEQUENCE.search(one.text)]
    return _pick(worth, taken, CONSEQUENCE_SENTENCES if most else 0, (40, 80), _LIST_WEIGHTS)


def _point(candidate: Candidate) -> float:
    """What a sentence is worth as a point of its own."""
    return (
        sum(points for pattern, points in _POINTS if pattern.search(candidate.text))
        + 0.5 * candidate.is_conclusion
        + 0.3 * candidate.depth
        + 0.6 * candidate.centroid
        + 0.3 * candidate.title
        + 0.2 * (candidate.sentence.place == 0)
        - 0.3 * candidate.is_known
        - 0.3 * candidate.quotations
        - 0.3 * _off_length(candidate)
    )


def _makes_a_point(candidate: Candidate) -> bool:
    return candidate.is_conclusion or any(pattern.search(candidate.text) for pattern, _ in _POINTS)


def _is_clear(candidate: Candidate) -> bool:
    """Whether it can be an item all by itself: nothing points back, nobody is quoted, no example is being made."""
    text = candidate.text
    starts = text.split(maxsplit=1)[0].lower()
    return not (
        candidate.is_vague
        or _QUOTATION.match(text)
        or _OF_THE_PIECE.match(text)
        or starts in ("if", "you", "your", "to", "let", "there")
    )


def _blocks(spec: SectionSpec, picked: Sequence[Candidate]) -> list[list[str]]:
    """The sentences as the blocks of their section: list items, or paragraphs."""
    if spec.shape is SectionShape.LIST:
        return [[one.text] for one in picked[: spec.published]]
    if len(picked) < 4 or spec.published < 2:
        return [[one.text for one in picked]] if picked else []
    # The second paragraph begins where the text was left for longest.
    cut = max(range(2, len(picked) - 1), key=lambda at: (picked[at].place - picked[at - 1].place, -at))
    return [[one.text for one in part] for part in (picked[:cut], picked[cut:])]


def _section(spec: SectionSpec, blocks: Sequence[Sequence[str]]) -> Section:
    claims = tuple(tuple(Claim(text, (text,)) for text in block) for block in blocks)
    return Section(spec.key, spec.heading, spec.shape, claims, spec.is_suggestion)
