"""Who is made to say something: a venue as an author, or the piece as the author of what is ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.grounding.source import Source, plain_text

_PEOPLE = (
    r"(?:researchers?|scientists?|authors?|teams?|groups?|engineers?|staff|people|writers?|experts?|"
    r"analysts?|"
    r"academics?|investigators?|folks|scholars?|developers?|editors?|those|work|labs?|collaborators?|"
    r"colleagues?)"
)
_SAYS = (
    r"(?:finds?|found|shows?|showed|argues?|argued|reports?|reported|says?|said|claims?|claimed|proposes?|"
    r"proposed|introduces?|introduced|writes?|wrote|demonstrates?|demonstrated|presents?|presented|develops?|"
    r"developed|trains?|trained|tests?|tested|suggests?|suggested|describes?|described|releases?|released|"
    r"stud(?:y|ies|ied)|evaluates?|evaluated|measures?|measured|explores?|explored|examines?|examined|"
    r"concludes?|concluded|warns?|warned|notes?|noted|observes?|observed|believes?|believed|built|builds?|"
    r"discovered|discovers?|investigates?|investigated|used|uses?|makes?|made|offers?|offered|explains?|"
    r"explained|"
    r"has|have|had|is|are|was|were|did|does)"
)
_ASCRIBES = re.compile(
    r"\b(?:(?:the|its|their|these|this|those) )?(?:authors?|paper|article|essay|post|study|piece|work|source|"
    r"researchers?)(?:'s)? (?:(?:also|already|themselves|itself) )?(?:find|found|show|argue|report|say|said|"
    r"claim|propos|recommend|suggest|conclude|demonstrat|present|call|advis|urge|note|describe|observe|"
    r"releas|"
    r"publish|provide|prove|introduce)\w*\b|\baccording to\b|\b(?:they|he|she|we) (?:also )?(?:find|"
    r"found|show|"
    r"showed|argued?|report|reported|recommend\w*|suggest\w*|propose\w*|conclude\w*)\b|"
    r"\bas (?:shown|reported|proposed|recommended|suggested|described) (?:in|by)\b",
    re.IGNORECASE,
)


def misattributed(sentence: str, source: Source) -> Iterator[str]:
    """The words of a claim that make an author of the venue; none where the piece says the same words
    itself.
    """
    plain = plain_text(sentence)
    for venue in _venues(source):
        wrong = _as_author(venue).search(plain)
        if wrong and wrong.group().casefold() not in source.text.casefold():
            yield wrong.group()
            return


def ascribed(sentence: str, source: Source) -> Iterator[str]:
    """The words of a suggestion of ours that put it in somebody else's mouth."""
    plain = plain_text(sentence)
    found = _ASCRIBES.search(plain)
    if found:
        yield found.group()
    names = (plain_text(author).split()[-1:] for author in source.piece.authors)
    for name in {name for surname in names for name in surname if len(name) > 2}:
        spoken_for = re.search(rf"\b{re.escape(name)}(?:'s)? (?:(?:and|et) \w+ )?{_SAYS}\b", plain)
        if spoken_for:
            yield spoken_for.group()
    yield from misattributed(sentence, source)


def _venues(source: Source) -> Iterator[str]:
    """What the venue may be called: its name without an article, and a long one without its first word."""
    name = re.sub(r"^the ", "", plain_text(source.piece.source.name), flags=re.IGNORECASE)
    authors = {plain_text(author).casefold() for author in source.piece.authors}
    names = (name, name.partition(" ")[2]) if name.count(" ") >= 2 else (name,)
    yield from (one for one in names if one and one.casefold() not in authors)


def _as_author(venue: str) -> re.Pattern[str]:
    """Ways to make an author of a venue: its people, "by" it, and it as the one who says or has something."""
    name = rf"(?:the )?{re.escape(venue)}"
    people_of = rf"\b{_PEOPLE}\b[^.;]{{0,40}}?\b(?:at|from|of|with|for|behind|in|on) {name}(?!\w)"
    its_people = rf"\b{name}(?:'s)? (?:\w+ )?{_PEOPLE}\b"
    by_it = rf"\b(?:by|according to|credit(?:s|ed)? to|from|with|at) {name}(?!\w)"
    it_says = rf"(?<!\bin )(?<!\bon )(?<!\bto )\b{name}(?:,[^,]{{1,60}},)? (?:\w+ly )?{_SAYS}\b"
    return re.compile(rf"{people_of}|{its_people}|{by_it}|{it_says}|\b{re.escape(venue)}'s\b", re.IGNORECASE)
