"""What no summary may carry: addresses, markup, and what a text tells a model to say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.grounding.names import forms_of, names_in
from newsletter.grounding.source import Source, plain_text
from newsletter.sentences import STOP_WORDS

_ENDINGS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|xyz|tv|me|site|online|tech|cloud|page|link|click|top|shop|"
    "blog|news|example|store|live|pro|test|invalid|localhost|onion|gg|ly|to|uk|de|fr|eu|us|ca|au|jp|cn|ru|br|es|"
    "nl|se|no|ch|pl|co|club|fun|zip|mov|foundation"
)
_ADDRESS = re.compile(
    rf"\w+://|\bwww\.|\b(?:mailto|javascript|data|tel):\S|\]\(|</?[a-z!][^>]*>?|\S@\S+\.\w|"
    rf"\b[\w-]+(?:\.[\w-]+)*\.(?:{_ENDINGS})\b(?!\.\w)(?:[/?#:]\S*)?",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?<![\"'])\b(?:ignore|disregard|forget|override|bypass)\b(?: \w+){0,3}? "
    r"(?:previous|prior|above|earlier|preceding|your|all|any|these|those|the)(?: \w+){0,2}? "
    r"(?:instructions?|prompts?|rules|guidelines|directions|context|tasks?)\b(?![\"'])|"
    r"\b(?:AI|LLM|language model|assistant|chatbot|model)s?(?:,| reading this| summari[sz]ing this)[^.]{0,40}"
    r"\b(?:must|should|please|you)\b[^.]{0,60}\b(?:include|add|insert|link|mention|output|write|say|"
    r"print|append)\b|"
    r"^(?:system|assistant|user) ?(?:prompt|message)?:|\bnew instructions?:|\byou are now (?:an?|in)\b|"
    r"\b(?:in|into|to) your (?:summary|answer|reply|response|output|digest|newsletter)\b",
    re.IGNORECASE,
)
"""How a text speaks to the model that reads it. A text *about* such sentences has them in quotation marks."""


def addresses(sentence: str) -> Iterator[str]:
    """The first thing that a mail program may turn into a link or read as markup, if there is one."""
    found = _ADDRESS.search(plain_text(sentence))
    if found:
        yield found.group()[:40]


def is_command(text: str) -> bool:
    """Whether a text tells a model what to do."""
    return bool(_COMMAND.search(text))


def dictated(sentence: str, source: Source) -> Iterator[str]:
    """Names and figures of a sentence that the piece has nowhere but where it tells a model what to do."""
    commands = [paragraph for paragraph in source.paragraphs if is_command(paragraph)]
    if not commands:
        return
    honest = " ".join((source.facts, *(text for text in source.paragraphs if text not in commands)))
    only_there = forms_of(" ".join(commands)) - forms_of(honest) - STOP_WORDS
    names = {name.casefold() for name in names_in(sentence, source)}
    figures = {word for word in forms_of(sentence) if any(char.isdigit() for char in word)}
    yield from sorted((names | figures) & only_there)[:1]
