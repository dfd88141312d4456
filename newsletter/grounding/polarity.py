"""Does a claim say yes where its passage says no, or more where it says less? Only where that can be told
for sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from newsletter.grounding.source import Source, Span, plain_text
from newsletter.sentences import content_words, split

_NOT = re.compile(r"\b(?:not|never|no|nor|neither|none|nothing|cannot)\b|n't\b|\bfail(?:s|ed)? to\b", re.IGNORECASE)
_NO_DENIAL = re.compile(
    r"\b(?:next to|almost) (?:nothing|no|none)\b|\bnothing (?:but|less|more)\b|"
    r"(?:\bnot|n't) (?:only|just|merely|simply|solely|necessarily)\b|\bwhether or not\b|\bif not\b|"
    r"\bor not\b|"
    r"\bno (?:less|more|fewer|better|worse|doubt|longer|matter)\b|\bno\. ?\d",
    re.IGNORECASE,
)
_WAYS_TO_DENY = re.compile(
    r"\b(?:not|never|nor?|neither|none|nothing|nobody|nowhere|cannot|without|fail\w*|lack\w*|absen\w+|"
    r"avoid\w*|either|"
    r"prevent\w*|un\w{4,}|in(?:ab|ad|ca|co|ef|ex|su|se|va)\w+|im(?:po|pr)\w+|dis\w{4,}|non\w*|mis\w{4,}|free|"
    r"rather|instead|only|barely|hardly|rarely|seldom|scarcely|little|few|fewer|less|least|lower|worse|"
    r"drop\w*|"
    r"los[est]\w*|eliminat\w*|remov\w*|reject\w*|refus\w*|den(?:y|ies|ied)|deni\w+|ignor\w*|miss\w*|"
    r"stop\w*|ceas\w*|"
    r"same|equal\w*|zero|null|neglig\w+|hard|difficult\w*|doubt\w*|contrary|wrong\w*|false\w*|however|but|"
    r"although|though|despite|except|exclud\w*|omit\w*|skip\w*|limit\w*|weak\w*|poor\w*|declin\w*|"
    r"far from|too|yet|"
    r"beyond|still|resist\w*|independent\w*|regardless|unless|before|differ\w*|against|block\w*|forb\w+|"
    r"keep\w*|"
    r"kept|already|stay\w*|remain\w*|flat|spar\w+|sub-?\w{5,}|under\w{4,}|surpris\w+|challeng\w+|separate\w*|"
    r"mere\w*|simply|just|even|fell|fall\w*|vanish\w*|disappear\w*|gone|took back|takes back|withdr\w+|"
    r"retract\w*|within|beyond|chance|noise|insignifican\w*|level|no better|as \w+ as|include[ds]? zero)\b"
    r"|n't\b|(?<!\w)-\d|\b0\b",
    re.IGNORECASE,
)
"""Words that can say no without "not", and ways of saying that there is no difference. Wide, so that sentences
without any of them have no way of saying no.
"""

_MORE = re.compile(
    r"\b(?:increas(?:e|es|ed|ing)|rais(?:e|es|ed|ing)|improv(?:e|es|ed|ing)|boost(?:s|ed|ing)?|"
    r"enhanc(?:e|es|ed|ing)|higher|better|more|greater|larger|stronger|longer|faster|outperform(?:s|ed)?)\b",
    re.IGNORECASE,
)
_LESS = re.compile(
    r"\b(?:decreas(?:e|es|ed|ing)|reduc(?:e|es|ed|ing)|lower(?:s|ed|ing)?|degrad(?:e|es|ed|ing)|"
    r"worsen(?:s|ed|ing)?|hurt(?:s|ing)?|worse|less|fewer|smaller|weaker|shorter|slower|underperform(?:s|"
    r"ed)?)\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(r"\b(?:not|never|no|without|fail\w*|nor|than|instead|rather)\b|n't\b", re.IGNORECASE)

_DENIES = re.compile(
    r"\b(?:not|never|nor?|neither|none|nothing|nobody|nowhere|cannot|without|fail\w*|lack\w*|hardly|"
    r"barely|rarely|"
    r"seldom|instead|rather|only|little|few|unable|too|if|whether|than|but|although|though|while|whereas|"
    r"un\w{5,}|"
    r"no longer|stop\w*|refus\w*|prevent\w*|avoid\w*)\b|n't\b",
    re.IGNORECASE,
)
"""Words that make it doubtful what a sentence says yes to."""

_DENIES_NEXT = re.compile(r"\b(?:not|never|no)\b|n't\b", re.IGNORECASE)

SHARED = 0.6
"""Share of a claim's words that the passage must have before a denial that the claim leaves out counts."""

NEARLY_ALL = 0.9
"""Share from which on a denial that the passage has and the claim has not is taken for a finding turned round."""


def contradictions(sentence: str, spans: Iterable[Span], source: Source) -> Iterator[str]:
    """What a claim and its passage disagree on, in words: a denial that one of them has, a direction turned
    round.
    """
    spans = tuple(spans)
    passage = " ".join(source.sentences_around(span, 0) for span in spans)
    plain = plain_text(sentence)
    denial = _NOT.search(_NO_DENIAL.sub(" ", plain))
    if denial and not _WAYS_TO_DENY.search(passage):
        yield f"says “{denial.group()}”, and the passage denies nothing"
    elif word := _denied_here_only(plain, passage):
        yield f"denies “{word}”, and the passage does not"
    if word := _denied_here_only(passage, plain, NEARLY_ALL):
        yield f"says “{word}”, which the passage denies in nearly the same words"
    for direction in _turned(plain, passage):
        yield f"says “{direction}”, and the passage says the opposite"


def denied_word(sentence: str, spans: Iterable[Span], source: Source) -> str:
    """A word that the passage denies and a claim says without any denial; or nothing.

    For people to look at: a claim can also deny in words of its own ("outside" for "not in"), and true claims were
    accused by this more often than false ones.
    """
    passage = " ".join(source.sentences_around(span, 0) for span in spans)
    return _denied_here_only(passage, plain_text(sentence))


def stem(word: str) -> str:
    """The beginning of a word, which its forms share."""
    return word[:5]


def _denied_here_only(here: str, there: str, shared: float = SHARED) -> str:
    """A word that one text denies directly and the other says in a sentence without any denial; or nothing.

    Both must speak of much the same, or the word may be about something else.
    """
    mine, theirs = _stems(here), _stems(there)
    if len(mine & theirs) < shared * min(len(mine), len(theirs)):
        return ""
    affirmed = {one for sentence in split(there) if not _DENIES.search(sentence) for one in _stems(sentence)}
    said_otherwise = {one for sentence in split(there) if _DENIES.search(sentence) for one in _stems(sentence)}
    plain = _NO_DENIAL.sub(" ", here)
    for match in _DENIES_NEXT.finditer(plain):
        following = re.match(r"(?: [\w'-]+){0,3}", plain[match.end() :])
        denied = content_words(following.group() if following else "")[:1]
        if denied and stem(denied[0]) in affirmed - said_otherwise:
            return denied[0]
    return ""


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, content_words(text)))


def _turned(sentence: str, passage: str) -> Iterator[str]:
    """Words of direction in a claim whose next word has the opposite direction, and that only, in the
    passage.
    """
    if _COMPARES.search(passage) or (_MORE.search(sentence) and _LESS.search(sentence)):
        return
    for mine, opposite in ((_MORE, _LESS), (_LESS, _MORE)):
        agreed, opposed = dict(_directed(passage, mine)), dict(_directed(passage, opposite))
        for word, direction in _directed(sentence, mine):
            if word in opposed and word not in agreed:
                yield direction


def _directed(text: str, direction: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """For each word of direction in a text, the stem of the next word that says something, and the word
    itself.
    """
    for match in direction.finditer(text):
        following = content_words(text[match.end() : match.end() + 60].split(",")[0])
        if following:
            yield stem(following[0]), match.group()
