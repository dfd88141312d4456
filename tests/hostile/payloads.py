"""Texts that want to be more than text: markup, scripts, addresses, template tags. They must arrive as they were typed.

Those in `OWN` are ours. Where the environment variable CORPUS_DIR names a folder, public collections are read from it:
`DOMPurify` (cure53/DOMPurify), `owasp` (OWASP/CheatSheetSeries) and `blns` (minimaxir/big-list-of-naughty-strings),
each a checkout. None of them is kept here.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ALERT = "alert('it runs')"

OWN: tuple[str, ...] = (
    # An element that runs or loads, as it stands.
    f"<script>{ALERT}</script>",
    f"<ScRiPt\n>{ALERT}</sCrIpT\t>",
    "<script src=//publisher.example.net/own.js></script>",
    f'<img src="absent" onerror="{ALERT}">',
    f"<img/src/onerror={ALERT}//",
    f"<svg onload={ALERT}>",
    f"<svg><script>{ALERT}</script></svg>",
    f"<svg><animate onbegin={ALERT} attributeName=x dur=1s>",
    f"<math><mtext><table><mglyph><style><img src onerror={ALERT}>",
    f"<body onload={ALERT}>",
    f"<details open ontoggle={ALERT}><summary>more</summary></details>",
    f"<input autofocus onfocus={ALERT}>",
    f"<video><source onerror={ALERT}></video>",
    f"<audio src=absent onerror={ALERT}>",
    f'<iframe srcdoc="&lt;script&gt;{ALERT}&lt;/script&gt;"></iframe>',
    f"<iframe src=javascript:{ALERT}></iframe>",
    f'<object data="data:text/html,<script>{ALERT}</script>"></object>',
    "<embed src=https://publisher.example.net/film.swf>",
    f"<a href=javascript:{ALERT} autofocus tabindex=1 onfocus={ALERT}>read on</a>",
    f'<form action="javascript:{ALERT}"><button autofocus>go</button></form>',
    '<base href="https://publisher.example.net/">',
    '<link rel=stylesheet href="//publisher.example.net/own.css">',
    f'<meta http-equiv="refresh" content="0;url=javascript:{ALERT}">',
    "<style>@import '//publisher.example.net/own.css';</style>",
    "<style>*{background:url(//publisher.example.net/seen)}</style>",
    f"<x-made-up onanimationstart={ALERT} style=animation:spin>",
    f"<marquee onstart={ALERT}>new</marquee>",
    f"<select autofocus onfocus={ALERT}><option>one</select>",
    f"<template><script>{ALERT}</script></template>",
    f"<dialog open oncancel={ALERT}>yes?</dialog>",
    # Out of what the text may stand in.
    f'"><script>{ALERT}</script>',
    f"'><script>{ALERT}</script>",
    f"</title><script>{ALERT}</script><title>",
    f"</style><script>{ALERT}</script><style>",
    f"</textarea></select></option><svg/onload={ALERT}>",
    f"--><script>{ALERT}</script><!--",
    f"--!><img src onerror={ALERT}><!--",
    f"<!--><script>{ALERT}</script>-->",
    f"]]><script>{ALERT}</script><![CDATA[",
    f"<![CDATA[<script>{ALERT}</script>]]>",
    f"<?xml version='1.0'?><?php {ALERT} ?><% {ALERT} %>",
    '<!DOCTYPE x [<!ENTITY made SYSTEM "file:///etc/hostname">]>&made;',
    f'" onmouseover="{ALERT}" style="position:fixed;inset:0" x="',
    f"' onfocus='{ALERT}' autofocus='",
    f"` onpointerenter={ALERT} `",
    f" onload={ALERT} ",
    f'" autofocus onfocus={ALERT} y',
    '" style="background:url(//publisher.example.net/seen)',
    f'" href="javascript:{ALERT}',
    f'" srcdoc="<script>{ALERT}</script>',
    f"</p></div></td></tr></table></body></html><script>{ALERT}</script>",
    f"<![endif]--><script>{ALERT}</script><!--[if mso]>",
    f"<!--[if true]><script>{ALERT}</script><![endif]-->",
    # Escaped once, or twice, or almost.
    f"&lt;script&gt;{ALERT}&lt;/script&gt;",
    f"&amp;lt;script&amp;gt;{ALERT}&amp;lt;/script&amp;gt;",
    f"&#60;script&#62;{ALERT}&#x3c;/script&#x3e;",
    f"&#60script&#62{ALERT}&#60/script&#62",
    f"%3Cscript%3E{ALERT}%3C/script%3E",
    f"\\u003cscript\\u003e{ALERT}\\u003c/script\\u003e",
    f"+ADw-script+AD4-{ALERT}+ADw-/script+AD4-",
    f"<scr<script>ipt>{ALERT}</scr</script>ipt>",
    f"<<script>>{ALERT}<</script>>",
    f"< script >{ALERT}< / script >",
    f"<script/x>{ALERT}</script/x>",
    f"<scr\u0000ipt>{ALERT}</scr\u0000ipt>",
    f"<\u200bscript>{ALERT}</\u200bscript>",
    f"\ufe64script\ufe65{ALERT}\ufe64/script\ufe65",
    f"\uff1cscript\uff1e{ALERT}\uff1c/script\uff1e",
    f"\u202e<script>{ALERT}</script>\u202c",
    # Addresses that are none.
    f"javascript:{ALERT}",
    f"  JaVaScRiPt\t:{ALERT}",
    f"java\nscript:{ALERT}",
    f"javascript://example.com/%0A{ALERT}",
    f"data:text/html;base64,PHNjcmlwdD4{ALERT}",
    f"vbscript:{ALERT}",
    f'https://example.com/"onclick="{ALERT}',
    f"https://example.com/'><script>{ALERT}</script>",
    f"//publisher.example.net/<script>{ALERT}</script>",
    # What our own tools read: Jinja, MJML, SendGrid, str.format, a terminal, a header.
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "{{ masthead.__class__.__mro__ }}",
    "{% include '/etc/hostname' %}{% endblock %}{% endmacro %}",
    f"</mj-text><mj-raw><script>{ALERT}</script></mj-raw><mj-text>",
    f'</mj-text></mj-column><mj-include path="/etc/hostname" /><mj-text mj-class="{ALERT}">',
    "<%asm_group_unsubscribe_raw_url%> -name- [unsubscribe] %name% *|NAME|*",
    "{address} {0} {n!r} {because} %(name)s ${name} {{{",
    f"\x1b]0;owned\x07\x1b[2J<script>{ALERT}</script>",
    "Found\r\nBcc: everyone@example.com\r\n\r\n<script>",
    f"ada@example.com<script>{ALERT}</script>",
    f"\u0645\u0631\u062d\u0628\u0627 <b onclick={ALERT}>\u0628\u0643</b>",
    f"<b>{'<i>' * 60}{ALERT}",
)

ADDRESSES = (
    "ada'onclick=alert`1`@example.com",
    "x&lt&b&gt&y@example.com",
    "{{7*7}}@example.com",
    "%7bname%7d$name@example.com",
    "a&b'c`d|e@example.com",
    "--/*#{x}@example.com",
)
"""Valid addresses (RFC 5322, 3.2.3, has these characters) that say more than where to write to."""

NAMES = ("DOMPurify", "owasp", "blns")


def corpora() -> Mapping[str, tuple[str, ...]]:
    """The public collections by name; empty without CORPUS_DIR. Raises FileNotFoundError for one that is not there."""
    folder = os.environ.get("CORPUS_DIR")
    return {name: _READERS[name](Path(folder) / name) for name in NAMES} if folder else {}


def innocent(text: str) -> str:
    """The text with a letter in the place of each sign: as long, as many words, and nothing in it but words."""
    return "".join("x" if unicodedata.category(char)[0] in "PS" else char for char in text)


def _dompurify(folder: Path) -> Iterator[str]:
    """The inputs of its tests, in a JavaScript module."""
    module = (folder / "test" / "fixtures" / "expect.mjs").read_text("utf-8")
    for found in re.finditer(r'"payload":\s*"((?:[^"\\]|\\.)*)"', module, re.DOTALL):
        yield _ESCAPE.sub(_meant, found[1])


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}


def _meant(found: re.Match[str]) -> str:
    """What a backslash in a JavaScript string stands for (ECMAScript, 12.9.4)."""
    code, char = found[1] or found[2], found[3]
    return chr(int(code, 16)) if code else _SHORT.get(char, char)


def _owasp(folder: Path) -> Iterator[str]:
    """What stands between fences in the cheat sheet on getting past filters."""
    page = (folder / "cheatsheets" / "XSS_Filter_Evasion_Cheat_Sheet.md").read_text("utf-8")
    yield from (found[1] for found in re.finditer(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE))


def _blns(folder: Path) -> Iterator[str]:
    yield from json.loads((folder / "blns.json").read_text("utf-8"))


_READERS: Mapping[str, Callable[[Path], tuple[str, ...]]] = {
    "DOMPurify": lambda folder: tuple(_dompurify(folder)),
    "owasp": lambda folder: tuple(_owasp(folder)),
    "blns": lambda folder: tuple(_blns(folder)),
}
