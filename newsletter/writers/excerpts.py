"""The writer without a key: whole sentences of the author's own, picked by rule and marked as excerpts.

Each sentence is scored (how much of the text is in its words, how much of the title, where it stands, what
cue phrases it has) and picked by maximal marginal relevance (Carbonell and Goldstein, 1998), so that no two
say the same. Only sentences that can be read without their neighbours are picked. A section that cannot be
filled with such sentences is left out, and *What you can build* always is: no author's sentence is our
suggestion.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from newsletter.sections import SectionSpec
from newsletter.sentences import Sentence, content_words, reading_words, sentences
from newsletter.values import Claim, Piece, Section, SectionShape, Summary, SummaryKind
from newsletter.writers import WritingError, source_hash

VERSION = "1"
"""Goes up whenever another sentence may be picked from the same text."""

SHORT_TEXT = 120
"""Words up to which a text is given whole."""
OPENING_WORDS = (90, 160)
OPENING_SENTENCES = 6
CONSEQUENCE_WORDS = (40, 80)
CONSEQUENCE_SENTENCES = 2
SENTENCE_WORDS = (6, 45)
ITEM_WORDS = (8, 40)
SENTENCE_CHARACTERS = 1_000
"""A longer "sentence" is no sentence, whatever its words."""
ANY_WORDS = (3, 100)
"""Words of a sentence when the text has none of a better length."""
GOOD_LENGTH = 22
"""Words of the sentence that reads best."""
FIRST_WORDS = 6
"""So far into a sentence a pronoun has hardly anything in it to stand for."""
ALIKE = 0.45
"""From this cosine on two sentences say the same."""
COMMON = 0.4
"""A word in more than this part of the sentences tells nothing: stop words of any language."""
ENOUGH_TO_COUNT = 12
"""Sentences from which on such parts mean something."""


def _phrases(lines: str) -> re.Pattern[str]:
    """Any of the phrases as whole words, in any case and with either apostrophe: an expression a line."""
    alternatives = "|".join(line.strip() for line in lines.splitlines() if line.strip())
    return re.compile(rf"\b(?:{alternatives})\b".replace("'", "['\u2019]"), re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one_of(text: str) -> str:
    """A group of the words of a text."""
    return "(?:" + "|".join(text.split()) + ")"


_WORK = (
    r"(?:[\w-]+ )?"
    r"(?:post|paper|essay|article|work|study|report|review|survey|tutorial|blog ?post|thesis|piece)"
)
_OF_THE_PIECE = _phrases(rf"(?:in )?this {_WORK}")
"""The piece that speaks of itself, which its reader has at hand."""

# Beginnings that hang on a sentence before.

_DANGLING_WORDS = _words(
    """
    this these those that it its it's they they're their theirs them such he he's she she's his her hers
    him both neither either another other others which who whom whose here here's that's there's
    then thus hence therefore thereby however but and or nor so yet also furthermore moreover additionally
    besides instead rather likewise similarly conversely nevertheless nonetheless still meanwhile
    otherwise accordingly consequently finally lastly first firstly second secondly third thirdly fourth
    next again indeed further too specifically especially namely concretely mechanistically later earlier
    previously afterwards afterward except whereas like just last anyway please throughout above below
    yes no well ok okay sure actually now right recall remember let let's suppose imagine consider say see
    jedoch aber und oder denn dies diese dieser dieses diesem diesen allerdings dennoch deshalb daher
    außerdem dabei dadurch damit dazu zudem sie er es dann auch
    cependant mais et ou donc cela ceci ces cette cet pourtant toutefois ainsi ils elles pero este esta
    esto estos estas eso esos ellos además así
    """
)
"""Pronouns, connectives, and the voice of a talk; the last in German, French and Spanish."""
_SELF_CONTAINED = _phrases(
    r"""
    rather than|instead of|other than|besides the|now that
    too (?:much|many|few|little)
    both \w+ and|neither \w+ nor|either \w+ or
    like (?:most|many|all|any|other)
    """
)
"""Beginnings with one of those words that bring along what they hang on."""
_BACK = r"(?:this|these|those|that|they|them|it|such|he|she|both|each|either)"
_DANGLING_PHRASES = _phrases(
    rf"""
    the (?:former|latter|same|others?|above|below|second|third)
    the (?:next|last|first|following|previous|rest|remaining)
    in (?:fact|contrast|comparison|other words|addition|particular|turn|response|which|that|each)
    in (?:this|the) (?:case|way|sense|setting|example|context|regard)
    in (?:this|the) (?:respect|light|scenario|situation|view|world)
    in (?:this|the) (?:story|environment|setup|game|meantime|end|latter|former|first|second|next)
    in (?:this|the) (?:section|figure|table|chapter|part)
    of course|you know|along the way|from here|after all|above all|all in all|not only that|either way
    since then
    for (?:example|instance|comparison|now)
    by (?:contrast|comparison|doing)|doing (?:so|this|that)
    on (?:the (?:other|one|contrary)|another note)|at (?:the same time|first)
    as (?:a result|such|an example|before|mentioned|noted|discussed|described|usual|shown)
    as (?:we|i) (?:\w+ )?(?:saw|will|said|noted|discuss\w*)
    even (?:so|then|if so|worse|better|more)|if (?:so|not)
    more (?:specifically|precisely|concretely|importantly|generally|broadly|formally)
    to (?:do so|this end|that end|be clear|illustrate|see|recap|begin|start)
    similar(?:ly)? to|one (?:such|way|could|might)|there (?:the|an?|we|i|you|he|she|it|they|this)|what remains
    (?:if|when|once|while|although|though|since|unless|as|because|because of) {_BACK}
    (?:for|with|by|from|on|of|to|in|at|after) {_BACK}
    (?:before|given|despite|under|using|without|among|beyond|unlike) {_BACK}
    (?:all|{_BACK} of) {_BACK}
    (?:all|many|each|none|one|two|three|several|few|any|most|some|part) of (?:which|{_BACK})
    (?:some|many|few|several|two|three) (?:are|is|have|has|do|will|may|can|argue)
    sin embargo|por ejemplo|de plus|en effet|par exemple|zum beispiel
    """
)

# Words that point at something: before, in this sentence or another, or on the page.

_PRONOUN = _phrases("they|them|their|its?|he|she|him|his|her|the (?:former|latter|same)")
_DEMONSTRATIVE = _phrases(
    rf"""
    (?:this|these|those|such) (?!(?:as|an?|of|that|who|which|{_WORK})\b)\S+
    (?:these|those|either)(?=[,.;:)])|(?:do|does|did|doing|done) so
    """
)
_SHOWN = (
    _one_of(
        r"""
        figure table plot graph diagram chart image picture panel caption animation video screenshot slider
        widget footnote appendix equation section subsection chapter paragraph slide snippet listing
        """
    )
    + "s?"
)
_NUMBERED = _one_of(
    r"""
    fig(?:ure|s|\.)? tables? eqs?\.? equations? sections? appendix appendices chapters? algorithm theorem
    lemma proposition definition corollary footnote listing panel part step
    """
)
_TOLD = _one_of(
    r"""
    see saw seen shown? discuss(?:ed)? described? listed explain(?:ed)? mentioned noted defined given
    presented provided introduced said covered argued illustrated outlined demonstrated
    """
)
_ELSEWHERE = _one_of("earlier previous next last later prior other upcoming following my first second third")
_NEXT = r"(?:we|i)(?: will|'ll| shall| now| first| then)"
_REFERS = _phrases(
    rf"""
    {_NUMBERED}[ \u00a0]?\(?(?:\d\w*|(?<=[ \u00a0(])(?-i:[A-Z]|[ivx]+))
    (?:this|these|next|previous|last|above|left|right|final|bar|line|box|scatter) {_SHOWN}
    (?:the|a|our) (?:\w+ )?{_SHOWN} (?:above|below|(?:show|illustrat|depict|plot|display|compar|summari)\w*)
    {_TOLD}(?: \w+){{0,3}} (?:above|below|later|earlier|before|here|previously)
    (?:above|below)(?=[-.,;:)])|the (?:above|below|following)|as follows|this sequence|table of contents
    click\w*|scroll\w*|hover\w*|take a look
    {_ELSEWHERE} (?:blog ?posts?|posts?|essays?|articles?)
    the (?:rest|remainder) of (?:the|this|my|our)
    section (?:\w+ )?(?:will|(?:describ|provid|discuss|explain|cover|present|introduc|show|summari)\w*)
    before (?:we|i) \w+|(?:we|i) (?:\w+ ){{0,2}}(?:earlier|previously)
    {_NEXT} (?:\w+ )?(?:discuss|describe|review|turn|return|begin|start|see|go over|walk|look at|define)
    """
)
_NOT_THE_MATTER = _phrases(
    r"""
    epistemic status|acknowledge?ments?|thanks? (?:to|you|for|go)|grateful|thankful|indebted
    (?:i|we)(?:'d like to| would like to| want to)? (?:deeply )?(?:thank|acknowledge)|feedback (?:on|from)
    produced as part of|equal contributions?|contributed equally|corresponding author|funded by
    supported by (?:an? |the )?\w+ grant
    cross-?posted|(?:originally|first) (?:posted|published)|appeared first on|drafts? of this
    subscribe|sign up|newsletter|mailing list|leave a comment|in the comments|(?:follow|contact) (?:me|us)
    apply (?:here|now|by)|job openings?|feel free to|skip (?:to|this|ahead)|github|google doc|bibtex
    (?:code|data|models?|weights)\b[^.]{0,60}\b(?:available|found) (?:at|on|here)
    (?:implementation|repo(?:sitory)?|notebook)\b[^.]{0,60}\b(?:available|found) (?:at|on|here)
    cite (?:this|us|as)|all rights reserved|licen[sc]ed under|copyright
    read (?:more (?:about|here|at|on)|the (?:full|paper|rest|whole))
    readers? (?:may|can|should|might) (?:skip|wish|want|skim|refer)
    published (?:on|at|in) (?:\w+ )?\d+|(?:last )?updated (?:on )?(?:\w+ )?\d+
    blog ?post (?:is|was) (?:based|part|structured)
    (?:work|research|project|internship) (?:was |is )?(?:done|conducted) (?:as|by|during|while|at)
    (?:work|research|project|internship) (?:was |is )?(?:performed|carried out) (?:as|by|during|while|at)
    """
)

# Marks of what is no sentence of prose.

_SPEAKER = _one_of(
    r"""
    figure fig table notes? left right top bottom source image photo caption credit authors? by posted
    published updated edit edited update disclaimer warning status question answer why how what q a
    example definition theorem lemma proof claim remark terminology user assistant system prompt human
    model step part footnote exercise problem solution hint input output
    """
)
_LABEL = re.compile(
    rf"{_SPEAKER}\b\.? ?[\dA-Z]{{0,3}} ?[:.)|\u2013\u2014-](?!\w)"
    r"|(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]\s|[^\w\"\u201c\u2018'«„¿¡$€£「『]",
    re.IGNORECASE,
)
"""A beginning that labels a picture, a list or a speaker, or no beginning of a sentence at all."""
_ORDERED = _one_of(
    """
    take look read check note test try use write order think ask give make keep start run train compare
    notice observe remember pick choose select find add put go come do don't avoid stop list explain describe
    answer return focus play move watch open drag press download join
    """
)
_OBJECT = _one_of(
    """
    the an? your our this at on for in to all each every it me us how what that whether if some one not
    features? back out about with
    """
)
_IMPERATIVE = _phrases(f"{_ORDERED} {_OBJECT}")
_RESIDUE = re.compile(
    # addresses
    r"https?:|www\.|\S@\S|(?<!\w)@\w"
    # code and formulas
    r"|[\\`{}|<>~^]|\$[^\d\s]|\$\S*\$|[∑∫\u2208∀∃≜↦∇∂∏⊂⊆≡∝\u211d\U0001d53c]|\w_\w|\w\(\)|==|:=|&\w+;"
    # holes and marks of citations
    r"|[\[(]\s*[,;]?\s*[\])]|\s[,.)](?:\s|$)|\s:\s(?=[\"A-Z])|\(\s|,\s*[.,]|[\[(]\d{1,3}[\])]|\[\^|!\["
    r"|\b(?:and|or|of|by|in|the|to|with|see|from|at|an?|e\.g|cf)[.,]$"
    # what is cut off or asks, and pictographs
    r"|\.\.|…|\]$|[.!?]:|[?\uff1f\u061f]|[\u2600-\u27bf\U0001f300-\U0001faff]",
    re.IGNORECASE,
)
_STARTER = _one_of(
    """
    The An We This These If In For When Our It There However Imagine Suppose Here While As Let You They What
    How Why
    """
)
_RUN_IN_HEADING = re.compile(
    rf"[^\W_][)'\"\u2019\u201d]? {_STARTER} [a-z]|[a-z]{{3}} A [a-z]{{2,}}(?<!is)(?<!has)(?<!and)(?<!was) "
)
"""A small heading that stands in the sentence's own line, as bold words at the start of a paragraph do."""
_ENDS_WHOLE = re.compile(r"[.!。\uff01｡\uff0e\u06d4।][\"'\u201c\u201d\u2019»\u203a)\]」』]*$")
_ASKS = re.compile(r"[?\uff1f\u061f][!.\"'\u201c\u201d\u2019»\u203a)\]」』]*$")
_CUT_OFF = re.compile(r"(?:\.\.\.|…|\])$")
_QUOTATION = re.compile(r"[\"“«「„]")
_PAIRS = (("(", ")"), ("[", "]"), ("“", "”"), ("«", "»"), ("「", "」"), ("『", "』"), ("\uff08", "\uff09"))

# Headings.

_BACK_MATTER = _phrases(
    r"""
    acknowledge?ments?|references|bibliography|further reading|related (?:posts|reading|work|literature)
    citation|cite|(?:author )?contributions?|footnotes?|notes|about|changelog|comments|see also|supplement\w*
    (?:table of )?contents|terminology|definitions?|glossary|notation|proofs?|exercises|preliminaries
    .*\bprompts?
    """
)
_APPENDIX = _phrases(r"(?:[a-z\d.]+ )?(?:appendi(?:x|ces)|acknowledge?ments?|references|bibliography)")
_CONCLUSION = _phrases(
    r"""
    conclusions?|concluding|summary|discussion|take-?aways?|tl;?dr|abstract|closing|final thoughts
    limitations?|results?|findings?|implications?|lessons?
    """
)

# What sentences of each section say.

_AUTHOR = r"(?:we|i|the authors?) (?:[a-z]+ly |also |then |thus |further |overall )?"
_ANNOUNCES = _phrases(
    rf"""
    {_AUTHOR}(?:propose|introduce|present|study|investigate|explore|examine)
    {_AUTHOR}(?:show|find|argue|demonstrate|claim|describe)
    {_AUTHOR}(?:develop|analy[sz]e|explain|evaluate|discuss|offer|review)
    {_AUTHOR}(?:prove|derive|suggest|compare|test|train)
    {_AUTHOR}(?:conclude|believe|think)
    this {_WORK}
    (?:our|my) (?:\w+ )?(?:goal|aim|approach|method|contributions?|results?)
    (?:our|my) (?:\w+ )?(?:findings?|work|thesis|argument|claim)
    (?:our|my) (?:\w+ )?(?:hypothesis|proposal)
    tl;?dr|in (?:short|summary|brief|a nutshell)
    the (?:main|key|central|core|basic|big) (?:\w+ )?(?:idea|point|claim|question)
    the (?:main|key|central|core|basic|big) (?:\w+ )?(?:problem|insight|result|finding)
    the (?:main|key|central|core|basic|big) (?:\w+ )?(?:lesson|takeaway|argument)
    """
)
_RESULT = _phrases(
    rf"""
    {_AUTHOR}(?:find|found|showe?d?|demonstrated?|observed?|discover(?:ed)?)
    {_AUTHOR}(?:proved?|concluded?|learned|saw|estimated?)
    (?:results?|findings?|experiments?) (?:\w+ )?(?:show|suggest|indicate|imply|demonstrate)s?
    (?:evidence|data|analysis) (?:\w+ )?(?:show|suggest|indicate|imply|demonstrate)s?
    (?:results?|findings?|experiments?|evidence|data|analysis) (?:\w+ )?(?:confirm|support|reveal)s?
    in (?:conclusion|summary|short)|overall|to summari[sz]e|importantly|surprisingly|crucially
    outperform(?:s|ed)?|improve[sd]?|reduce[sd]?|increase[sd]?|decrease[sd]?|boost(?:s|ed)?|achieve[sd]?
    exceed(?:s|ed)?|matche[sd]|halve[sd]?|double[sd]?|generali[sz]e[sd]?|(?:suggest|implie|mean)s that
    (?:key|main|most important|biggest|central) (?:\w+ )?(?:insight|takeaway|finding|lesson)
    (?:key|main|most important|biggest|central) (?:\w+ )?(?:result|point|reason)
    (?:key|main|most important|biggest|central) (?:\w+ )?(?:challenge|problem)
    (?:better|worse|faster|more|less|fewer|higher|lower|larger|smaller) [\w -]{{0,30}}\bthan
    """
)
_LIMIT = _phrases(
    r"""
    (?:did|does|do|is|are|was|were|can|could|may|might|would|should|will)(?: not|n't)|cannot|fail(?:s|ed)? to
    limit(?:ation|ed|s)|only (?:when|if|for|works?|in)|unless|caveats?|unclear|uncertain|unknown|open question
    insufficient|no evidence|remains?|despite|even (?:though|when|if)
    """
)
_NUMBER = re.compile(
    r"\d(?:[\d.,]*\d)?\s?(?:%|percent|x\b|\u00d7|times\b|points?\b|[kKMB]\b)"
    r"|\b(?:half|twice|one-third|two-thirds)\b|\b\d+ (?:of|out of)\b"
)
_WHO = _one_of("we researchers practitioners developers engineers labs? companies policymakers field community")
_CONSEQUENCE = _phrases(
    rf"""
    (?<!not )matters? (?:because|for|since)
    (?:important|crucial|critical|essential|worrying|concerning) because
    (?<!could )(?<!would )(?<!might )impl(?:y|ies) that
    (?<!could )(?<!would )(?<!might )impl(?:y|ies) (?:we|they|it) (?:should|might|can|could|must)
    (?<!could )(?<!would )(?<!might )impl(?:y|ies) (?:labs?|researchers) (?:should|might|can|could|must)
    implications? (?:of|for|is|are)|consequences? (?:for|is that)|casts? doubt
    {_WHO}(?: of(?: \w+){{1,3}})?(?: \w+)? (?:should(?! be able)|ought to)
    in practice, [^.]*\b(?:should|means)
    (?:we|i) (?:\w+ )?recommend (?:that|\w+ing)|our recommendations?
    our (?:\w+ )?(?:results?|findings?|evidence) (?:\w+ )?(?:suggests?|impl(?:y|ies))
    our (?:\w+ )?(?:work|experiments?|analysis) (?:\w+ )?(?:suggests?|impl(?:y|ies))
    our (?:\w+ )?(?:results?|findings?|evidence) (?:\w+ )?(?:calls?|opens?|highlights?)
    our (?:\w+ )?(?:work|experiments?|analysis) (?:\w+ )?(?:calls?|opens?|highlights?)
    """
)
_NO_POINT = _words("if you your to let there i'd i'll we'd we'll")
"""First words of examples, instructions and stage directions."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each sign of a good opening sentence counts.

    ``half`` is the number of sentences over which the bonus of standing early halves; ``near`` is for a
    sentence beside one already picked, ``novelty`` against one that is like it. Found by ROUGE-1 against the
    authors' own descriptions of 111 essays and measured on 109 others; the optimum is broad, so the numbers
    are round.
    """

    centroid: float = 1.0
    title: float = 0.8
    lead: float = 0.6
    half: float = 16.0
    first: float = 0.15
    cue: float = 0.3
    length: float = 0.05
    vague: float = 0.4
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
    ``centroid`` and ``title`` say how much of the text and of the title its words carry, 1 for the best of
    the text. ``is_vague`` when it points back, ``is_known`` when it starts with "the" and something named
    before.
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
        """Pick the sentences of each section. Raises WritingError when none can be read alone."""
        chosen = self._choose(piece)
        if not chosen or ("summary" not in chosen and any(spec.key == "summary" for spec in self.sections)):
            raise WritingError(f"no sentence of its {piece.words} words can be read by itself")
        return Summary(
            kind=SummaryKind.EXCERPTS,
            sections=tuple(_section(spec, chosen[spec.key]) for spec in self.sections if spec.key in chosen),
            writer=self.name,
            prompt_version=VERSION,
            source_hash=source_hash(piece),
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
    """Whether a sentence can be read without those around it, asks nothing, and is about the matter."""
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
    start = text.lstrip("\"'“\u2018«„").replace("\u2019", "'")
    if _OF_THE_PIECE.match(start) or _SELF_CONTAINED.match(start):
        return False
    first = start.split(maxsplit=1)[0].rstrip(",;:.!").lower() if start else ""
    return first in _DANGLING_WORDS or bool(_DANGLING_PHRASES.match(start))


def _begins_well(text: str) -> bool:
    starts_small = text[0].islower() and not any(char.isupper() for char in text[1:4])
    return not (starts_small or _LABEL.match(text) or _IMPERATIVE.match(text) or hangs_on_another(text))


def _is_balanced(text: str) -> bool:
    is_paired = all(text.count(opening) == text.count(closing) for opening, closing in _PAIRS)
    # What closes a German quotation opens an English one.
    return (is_paired or "„" in text) and text.count('"') % 2 == 0


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
        and len(text) <= SENTENCE_CHARACTERS
        and not text[0].islower()
        and _is_balanced(text)
        and not (_CUT_OFF.search(text) or _NOT_THE_MATTER.search(text) or "://" in text)
    )


def _candidates(piece: Piece, limits: tuple[int, int]) -> list[Candidate]:
    """The sentences of so many words that can be read alone, in the text's order."""
    every = sentences(piece.text)
    prose = [sentence for sentence in every if not sentence.is_heading]
    bags = [_bag(sentence.text) for sentence in prose]
    terms = _terms(piece.title, bags)
    places = {sentence.index: place for place, sentence in enumerate(prose)}
    first_seen = _first_places(bags)
    found = []
    for sentence, is_conclusion in _of_the_matter(every):
        words = reading_words(sentence.text)
        is_readable = limits[0] <= words <= limits[1] and len(sentence.text) <= SENTENCE_CHARACTERS
        if not is_readable or not stands_alone(sentence.text):
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
    words = content_words(text)
    return Counter(word for word in words if (len(word) > 1 or not word.isascii()) and not word[0].isdecimal())


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
    return bool(_PRONOUN.search(" ".join(text.split()[:FIRST_WORDS])) or _DEMONSTRATIVE.search(text))


def _is_known(text: str, place: int, first_seen: dict[str, int], title: frozenset[str]) -> bool:
    """Whether it starts with "the" and something named in a sentence before: "The climb", "The model"."""
    start = text.split()[:3]
    if start[0].lower() != "the" or (len(start) > 2 and start[2] in ("of", "that", "which")):
        return False
    named = (word for word in content_words(" ".join(start)) if word not in title)
    return any(first_seen.get(word, place) < place for word in named)


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
    return min(1.0, abs(candidate.words - GOOD_LENGTH) / 20)


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
    return _pick(worth, taken, CONSEQUENCE_SENTENCES if most else 0, CONSEQUENCE_WORDS, _LIST_WEIGHTS)


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
    """Whether it can be an item all by itself: nothing points back, nobody is quoted, no example is made."""
    text = candidate.text
    starts = text.split(maxsplit=1)[0].lower().replace("\u2019", "'")
    return not (candidate.is_vague or _QUOTATION.match(text) or _OF_THE_PIECE.search(text) or starts in _NO_POINT)


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
