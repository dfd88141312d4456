"""What `newsletter.fulltext` keeps of a text and what it leaves out, on pages of the shapes that the web
has."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.fulltext import abstract, clean_line, extract, is_cut_off, light_text
from newsletter.values import count_words

# --- pages ---------------------------------------------------------------------------------------

PROSE = [
    "A model that is trained on its own mistakes learns to name them long before it learns to avoid them.",
    "We ran the same experiment on four sizes of model, with three seeds each, and read every transcript.",
    "The smallest model never noticed the error, while the largest corrected it in two cases out of three.",
    "That is not what we expected, because the reward did not mention corrections in any of its terms.",
    "One reading is that the corrections were there from the start and the training only made them cheap.",
    "Another reading is that the graders liked the tone of a correction more than the thing it corrected.",
]
STEPS = [
    "Write down the error in one sentence before touching the prompt or the data.",
    "Run the model again without any change, to see how often the error comes by chance.",
    "Change one thing at a time, and keep the transcripts of the runs that failed.",
]
PARAGRAPHS = "".join(f"<p>{text}</p>" for text in PROSE)
LIST = "<ul>" + "".join(f"<li>{text}</li>" for text in STEPS) + "</ul>"

BLOG = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Own mistakes - A Blog</title>
<style>body {{ color: black }}</style></head><body class="home has-sidebar">
<header class="site-header"><a href="/">A Blog</a><nav><a href="/about">About this blog</a></nav></header>
<article class="h-entry"><h1>Own mistakes</h1><div class="post-meta">Posted on 3 May by Ada</div>
{PARAGRAPHS}<h2>What to do</h2><p>Three things helped us, in this order:</p>{LIST}
<div class="share-buttons"><a href="/s">Share on a network</a></div></article>
<section class="comments"><h3>Comments</h3>
<p>First of all, thank you for this post, I liked it a lot.</p></section>
<footer>Copyright of the blog and nobody else</footer></body></html>"""

WORDPRESS = f"""<!doctype html><html><head><title>Own mistakes</title></head>
<body class="single single-post comments-open"><div id="page"><div id="masthead"><ul class="menu">
<li><a href="/a">Research</a></li><li><a href="/b">Archive of everything</a></li></ul></div>
<div class="content-sidebar-wrap"><div id="primary" class="content-area">
<div class="post-7 post type-post category-news tag-reward comments-open hentry"><div class="entry-content">
{PARAGRAPHS}<ol>{LIST[4:-5]}</ol>
<div class="mc4wp-form"><p>Subscribe to our newsletter and never miss a post of ours again.</p>
<form><input name="e"></form></div>
<div class="sharedaddy sd-block"><h3>Share this:</h3><ul><li><a href="/t">Click to share</a></li></ul></div>
<div id="jp-relatedposts"><h3>Related</h3><p><a href="/r">Ten tricks that graders hate</a></p></div>
</div></div></div>
<div id="secondary" class="widget-area"><div class="widget"><h3>Recent posts</h3><ul>
<li><a href="/1">An older post about something else entirely</a></li>
<li><a href="/2">One more post about nothing in particular</a></li></ul></div></div></div>
<div class="cookie-notice">
We use cookies to make this site work for you and for us.</div></div></body></html>"""

MAGAZINE = f"""<!doctype html><html><head><meta charset="utf-8"><title>Own mistakes</title></head><body>
<d-front-matter><script type="text/json">{{"title": "Own mistakes"}}</script></d-front-matter>
<d-title><h1>Own mistakes</h1></d-title><div class="base-grid"><nav class="toc"><h3>Contents</h3><ul>
<li><a href="#a">The long way to a correction</a></li>
<li><a href="#b">Three steps to go</a></li></ul></nav></div>
<d-article>{PARAGRAPHS}<h2 id="related-work">Work related to ours</h2>
<p>Others have seen it<d-footnote>But they called it something else.</d-footnote> before us
<d-cite key="x"></d-cite>.
<p>This is what we would do again:<p>{LIST}
<figure><img src="a.png"><figcaption>Hover over the image to see the errors.</figcaption></figure>
<p>The loss is <d-math>x^2</d-math> where it matters.</p></d-article>
<d-appendix><h3>Acknowledgements</h3><p>We thank everyone who has read a draft of this essay in time.</p>
<d-citation-list></d-citation-list></d-appendix></body></html>"""

FORUM = f"""<!doctype html><html><head><title>Own mistakes</title></head><body><nav>Home Posts Tags</nav>
<article><h1>Own mistakes</h1><blockquote><p>This post is a summary of a longer paper.</p></blockquote>
{PARAGRAPHS}<table><thead><tr><th>Size</th><th>Corrected</th></tr></thead>
<tbody><tr><td>small</td><td>0 %</td></tr><tr><td>large</td><td>67 %</td></tr></tbody></table>{LIST}</article>
</body></html>"""

DOCS = f"""<!doctype html><html><head><title>Guide</title></head><body><div class="wy-grid">
<div class="wy-nav-side" role="navigation"><ul><li><a href="1">Installation of the tool</a></li>
<li><a href="2">Reference of the tool</a></li></ul></div><div role="main"><div class="section" id="comments">
<h1>Guide<a class="headerlink" href="#comments" title="Permalink">¶</a></h1>{PARAGRAPHS}
<pre><code># read it
errors = model.run(prompt)
  print(errors)</code></pre>{LIST}</div></div></div></body></html>"""

BARE = f"""<html><head><title>Own mistakes</title></head><body><table><tr><td bgcolor="#eeeeee">
<a href="/">home</a> <a href="/old">old things</a> <a href="/new">new things</a></td></tr>
<tr><td><font size="4">Own mistakes</font><br><br>{"<br><br>".join(PROSE)}<br><br>{LIST}</td></tr>
<tr><td><a href="/next">Next page</a> <a href="/back">Last page</a></td></tr></table></body></html>"""

SPLIT = "".join(
    f'<div class="row"><div class="body chunk"><p>{one}</p><p>{two}</p></div></div><div class="ads">Buy it now</div>'
    for one, two in zip(PROSE[::2], PROSE[1::2], strict=True)
)
IN_PARTS = f"""<html><head><title>Own mistakes</title></head><body><div class="page">{SPLIT}
<div class="row"><div class="body chunk">{LIST}</div></div></div></body></html>"""

PAGES = {
    "blog": BLOG,
    "wordpress": WORDPRESS,
    "magazine": MAGAZINE,
    "forum": FORUM,
    "docs": DOCS,
    "bare": BARE,
    "in parts": IN_PARTS,
}


@pytest.mark.parametrize("shape", PAGES)
def test_every_paragraph_and_every_list_item_of_an_article_is_kept(shape: str) -> None:
    blocks = extract(PAGES[shape]).split("\n\n")
    assert [block for block in blocks if block in PROSE] == PROSE
    assert [block for block in blocks if block[2:] in STEPS] == [f"- {step}" for step in STEPS]


@pytest.mark.parametrize("shape", PAGES)
def test_what_stands_around_an_article_is_left_out(shape: str) -> None:
    text = extract(PAGES[shape])
    chrome = [
        "About this blog",
        "Share",
        "Comments",
        "thank",
        "Copyright",
        "Archive",
        "newsletter",
        "Related",
        "Recent",
    ]
    chrome += [
        "Ten tricks",
        "older post",
        "cookies",
        "Contents",
        "long way",
        "Hover",
        "Home Posts",
        "Installation",
    ]
    chrome += [
        "Permalink",
        "¶",
        "new things",
        "Next page",
        "old things",
        "Posted on",
        "something else",
        "Buy it",
    ]
    assert [words for words in chrome if words in text] == []
    assert count_words(text) <= 1.25 * count_words(" ".join(PROSE + STEPS)) + 15


def test_a_heading_is_not_taken_for_what_its_id_says() -> None:
    assert "# Work related to ours" in extract(MAGAZINE).split("\n\n")
    assert extract(DOCS).startswith("# Guide\n\n")


def test_custom_elements_read_as_their_page_means_them() -> None:
    blocks = extract(MAGAZINE).split("\n\n")
    assert "Others have seen it before us." in blocks
    assert "The loss is x^2 where it matters." in blocks


def test_the_rows_of_a_table_stay_rows_on_a_page() -> None:
    assert "Size | Corrected\n\nsmall | 0 %\n\nlarge | 67 %" in extract(FORUM)


def test_the_text_of_a_page_that_is_drawn_by_script_comes_from_its_metadata() -> None:
    data = json.dumps({"@type": "Article", "articleBody": " ".join(PROSE)})
    head = f'<head><script type="application/ld+json">{data}</script></head>'
    page = f'<html>{head}<body><div id="app"></div></body></html>'
    assert PROSE[2] in extract(page)


def test_replies_in_a_thread_are_not_taken_for_the_post() -> None:
    post = f'<div class="post"><div class="author">Ada</div><div class="content">{PARAGRAPHS}</div></div>'
    reply = '<div class="post"><div>Bob</div><div class="content">I never saw this, and I doubt it.</div></div>'
    text = extract(f"<html><head><title>x</title></head><body><div>{post}{reply}{reply}</div></body></html>")
    assert PROSE[0] in text and "I doubt it" not in text


def test_an_empty_page_has_no_text() -> None:
    assert [extract(page) for page in (b"", b" \n", b"\x00", "<html></html>", "<!-- -->")] == [""] * 5


# --- charsets ------------------------------------------------------------------------------------

ACCENTS = "Das Modell löste die Aufgabe, während das größere, naïf und träge, noch überlegte. " * 4


def page_in(encoding: str, meta: str = "") -> bytes:
    head = f'<meta charset="{meta}">' if meta else ""
    return f"<html><head>{head}</head><body><article><p>{ACCENTS}</p></article></body></html>".encode(encoding)


@pytest.mark.parametrize(
    ("page", "charset"),
    [
        (page_in("cp1252"), "ISO-8859-1"),
        (page_in("cp1252", "latin-1"), ""),
        (page_in("cp1252"), ""),
        (page_in("cp1252", "utf-8"), "utf-8"),
        (page_in("cp1252"), "no-such-charset"),
        (page_in("cp1252"), "base64"),
        (page_in("utf-8"), "iso-8859-1"),
        (page_in("utf-8-sig"), "iso-8859-1"),
        (page_in("utf-16"), ""),
        (page_in("utf-16-le"), "utf-16-le"),
        (page_in("utf-8"), ""),
    ],
)
def test_characters_come_out_right_whatever_a_page_says_of_its_charset(page: bytes, charset: str) -> None:
    assert extract(page, charset) == " ".join(ACCENTS.split())


def test_one_wrong_byte_does_not_spoil_a_page() -> None:
    page = page_in("utf-8", "utf-8").replace(b"Aufgabe", b"Aufgab\xff", 1)
    assert "größere" in extract(page) and "Ã" not in extract(page)


def test_a_page_cut_within_a_character_is_still_utf_8() -> None:
    cut = page_in("utf-8").partition("träge".encode())[0] + "trä".encode()[:-1]
    assert extract(cut).startswith("Das Modell löste")


# --- light text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h2>A</h2><p>b</p><ul><li>c</li><li>d</li></ul>", "# A\n\nb\n\n- c\n\n- d"),
        ("<p>One<p>two", "One\n\ntwo"),
        ("<p>a wo<b>r</b>d, <i>an</i>other</p>", "a word, another"),
        ("<p>line<br>on<br><br>next</p>", "line on\n\nnext"),
        ("<div>a<p>b</p>c</div>", "a\n\nb\n\nc"),
        ("<p>AT&amp;T &lt;b&gt; &eacute;</p>", "AT&T <b> é"),
        ("<ul><li><p>a</p><p>b</p><ul><li>c</li></ul></li></ul>", "- a\n\nb\n\n- c"),
        ("<p>• a<br>• b</p>", "- a\n\n- b"),
        ("<h3><div>a</div></h3><p>b</p>", "# a\n\nb"),
        ("<pre># first\n  x = 1</pre>", "#first x = 1"),
        ("<p>- Yes, she said.</p>", "\u2013 Yes, she said."),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\n\nb"),
        ("<table><tr><td>a</td><td></td><td>b</td></tr></table>", "a | b"),
        ("<table><tr><td><p>a</p><p>b</p><p>c</p></td></tr></table>", "a\n\nb\n\nc"),
        ("<figure><table><tr><td>a</td><td>b</td></tr></table><figcaption>c</figcaption></figure>", "a | b"),
    ],
)
def test_html_becomes_light_text(html: str, text: str) -> None:
    assert light_text(html) == text


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ("One line\nand the same.\n\nAnother &amp; more.", "One line and the same.\n\nAnother & more."),
        ("Needed:\n- a\n- b", "Needed:\n\n- a\n\n- b"),
        ("if a < b then List<int>", "if a < b then List<int>"),
        ("&lt;p&gt;Escaped &lt;b&gt;twice&lt;/b&gt;.&lt;/p&gt;", "Escaped twice."),
        ("Write a &lt;p&gt; here.", "Write a <p> here."),
        ("", ""),
    ],
)
def test_plain_text_becomes_light_text(plain: str, text: str) -> None:
    assert light_text(plain) == text


@pytest.mark.parametrize("shape", PAGES)
def test_light_text_is_left_as_it_is(shape: str) -> None:
    text = extract(PAGES[shape])
    assert light_text(text) == text


@pytest.mark.parametrize(
    "html",
    [
        "<script>x()</script><p>{kept}</p>",
        "<style>.a { b: c }</style><p>{kept}</p>",
        "<p>{kept}</p><form><input value=x> Your mail <button>Go</button></form>",
        "<p hidden>x</p><p>{kept}</p>",
        '<p style="color: red; display: none">x</p><p>{kept}</p>',
        '<p>{kept}<span aria-hidden="true">x</span></p>',
        '<p>{kept}</p><div class="sharedaddy"><p>Share this</p></div>',
        '<p>{kept}</p><div class="relatedPosts"><p>Another one</p></div>',
        '<p>{kept}</p><br/><br/><a href="https://example.com/posts/x#comments">Discuss</a>',
        '<p>{kept}</p><p>The post <a href="x">T</a> appeared first on <a href="y">B</a>.</p>',
        "Published on July 9, 2026 5:00 PM GMT<br/><br/><p>{kept}</p>",
        "<p>{kept}</p><section class='footnotes'><ol><li>A note</li></ol></section>",
        "<p>{kept}</p><img src=x alt=y><iframe src=z>frame</iframe><svg><text>t</text></svg>",
        "<!-- comment --><p>{kept}</p><?php echo 1 ?>",
        "<p>.mjx-chtml {display: inline-block; line-height: 0} .mjx-chtml * {x: y} {kept}</p>",
    ],
)
def test_what_is_no_text_goes(html: str) -> None:
    assert light_text(html.replace("{kept}", PROSE[0])) == PROSE[0]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("It\x92s", "It\u2019s"),
        ("It&#146;s", "It\u2019s"),
        ("a\u202eb&#x202e;c\u2066d\u200fe", "abcde"),
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("a\x07b\x1fc\x81d", "abcd"),
        ("a\u00a0b\tc", "a b c"),
        ("a\ud800b\U000e0041c", "abc"),
        ("a\u200db", "ab"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_characters_that_are_no_text_go(html: str, text: str) -> None:
    assert light_text(f"<p>{html}</p>") == light_text(html) == clean_line(html) == text


KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mi>x</mi>'
    '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true">x2</span></span>'
)
MATHJAX_2 = (
    '<span class="MathJax_Preview">x2</span><span class="MathJax"><nobr>x2</nobr>'
    '<span class="MJX_Assistive_MathML"><math><mi>x</mi></math></span></span>'
    '<script type="math/tex">x^2</script>'
)
FORUM_FORMULA = (
    '<span class="mjpage"><span class="mjx-chtml"><span class="mjx-math" aria-label="x^2">'
    '<span class="mjx-char" aria-hidden="true">x2</span></span></span><style>.mjx-chtml {a: b}</style></span>'
)
MATHJAX_3 = (
    '<mjx-container><mjx-math aria-hidden="true">x2</mjx-math>'
    "<mjx-assistive-mml><math><mtext>x^2</mtext></math></mjx-assistive-mml></mjx-container>"
)


@pytest.mark.parametrize(
    "formula", [KATEX, MATHJAX_2, FORUM_FORMULA, MATHJAX_3, '<math alttext="x^2"><mi>y</mi></math>']
)
def test_a_formula_is_kept_once(formula: str) -> None:
    assert light_text(f"<p>Let {formula} be small.</p>") == "Let x^2 be small."


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("A claim<sup>1</sup> holds.", "A claim holds."),
        ('A claim.<sup id="r"><a href="#fn1">[1]</a></sup> Next.', "A claim. Next."),
        ('A claim <a href="#fn2">[2]</a>, so.', "A claim, so."),
        ('A claim<span class="footnote-ref"><a href="#n">3</a></span>.', "A claim."),
        ("10<sup>-3</sup> m<sup>2</sup>", "10^-3 m^2"),
        ("the 1<sup>st</sup>", "the 1st"),
        ("H<sub>2</sub>O and x<sub>i</sub>", "H2O and x_i"),
        ('See <a href="/a">2</a> or <a href="#b">below</a>.', "See 2 or below."),
    ],
)
def test_marks_of_notes_go_and_powers_stay_powers(html: str, text: str) -> None:
    assert light_text(f"<p>{html}</p>") == text


def test_a_feed_that_is_a_list_of_links_keeps_them() -> None:
    links = "".join(f'<li><a href="https://example.com/{n}">Link number {n}</a></li>' for n in range(9))
    assert light_text(f"<ul>{links}</ul>").count("- Link number") == 9


def test_a_share_bar_by_name_that_holds_the_text_is_the_text() -> None:
    assert light_text(f'<div class="share-wrapper">{PARAGRAPHS}</div>').split("\n\n") == PROSE


# --- cut off -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The beginning of it...",
        "The beginning of it…",
        "<p>The beginning of it [&#8230;]</p>",
        "<p>The beginning [...]</p><p>The post <a>T</a> appeared first on B.</p>",
        '<p>The beginning.</p><p><a href="x">Read more</a></p>',
        '<p>The beginning. <a href="x">Continue reading <span>Own mistakes</span> &rarr;</a></p>',
        "<p>The beginning.</p><a>Continue reading Own mistakes</a>",
        "The beginning (more...)",
        "<p>The beginning…</p><br/><a>Discuss</a>",
        "<p>The beginning.</p><p>Read the full story at Example »</p>",
        'The beginning of <a href="https://exa',
    ],
)
def test_a_text_that_trails_off_is_cut_off(text: str) -> None:
    assert is_cut_off(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It ends here.",
        "Whoever doubts it should read more.",
        "More and more people doubt it. They may be right.",
        '<p>It ends... and goes on.</p><p>Here.</p><br/><a href="x">Discuss</a>',
        "<p>The end.</p><p>The post <a>Wait…</a> appeared first on B.</p>",
        "<p>if a<b then stop",
    ],
)
def test_a_text_with_an_end_is_not_cut_off(text: str) -> None:
    assert not is_cut_off(text)


# --- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A <b>bo</b>ld &amp; <i>brave</i> title", "A bold & brave title"),
        ("One\r\nBcc: two@example.com", "One Bcc: two@example.com"),
        ("Why vector<int> is slow when a < b", "Why vector<int> is slow when a < b"),
        ("<p>Ada</p><p>Bob</p>", "Ada Bob"),
        ("<script>alert(1)</script>Title<!-- x -->", "Title"),
        ('<a href="https://example.com">Ada</a>', "Ada"),
        ("  \n ", ""),
    ],
)
def test_a_title_is_one_line_without_markup(text: str, line: str) -> None:
    assert clean_line(text) == line


@pytest.mark.parametrize(
    "head",
    [
        "arXiv:2508.13426v1 Announce Type: replace-cross \nAbstract: ",
        "Abstract: ",
        "arXiv:2508.13426v1 ",
        "",
        "<p>",
    ],
)
def test_an_abstract_loses_the_head_that_arxiv_gives_it(head: str) -> None:
    assert abstract(f"{head}We show that $a<b$\nholds. Abstract: not.") == "We show that $a<b$ holds. Abstract: not."


@pytest.mark.parametrize(
    "page",
    [
        b"%PDF-1.7\n" + b"1 0 obj stream of words that are none endstream " * 100,
        b'{\n  "text": "' + b"word " * 500 + b'"}',
        b'[{"title": "' + b"word " * 500 + b'"}]',
        b"{\\rtf1 " + b"word " * 500,
        bytes(range(256)) * 500,
    ],
)
def test_what_is_no_page_has_no_text(page: bytes) -> None:
    assert extract(page) == ""


# --- anything at all -----------------------------------------------------------------------------

TAGS = "<p> </p> <div> </div> <li> <ul> <h2> </h2> <table> <tr> <td> <br> <sup> <sub> <a> <pre> <math> <!-- -->"
TEXTS = [
    "&amp;",
    "&#0;",
    "&lt;p&gt;",
    "<script>",
    "</script>",
    "# ",
    "- ",
    "•",
    "\n\n",
    " ",
    "\x92",
    "\ud800",
    "word",
]
SNIPPETS = st.sampled_from([*TAGS.split(" "), *TEXTS])
SOUP = st.lists(st.one_of(SNIPPETS, st.text(max_size=8)), max_size=40).map("".join)


@given(SOUP)
def test_any_text_gives_whole_light_text(soup: str) -> None:
    for text in (light_text(soup), clean_line(soup), abstract(soup)):
        json.dumps(text).encode()
        text.encode()
        assert not set(text) & {chr(code) for code in (*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E)}
    blocks = light_text(soup).split("\n\n")
    assert all(block == " ".join(block.split()) for block in blocks)
    assert isinstance(is_cut_off(soup), bool)


@given(
    st.one_of(st.binary(max_size=300), SOUP.map(lambda soup: soup.encode("utf-8", "ignore"))),
    st.text(max_size=9),
)
def test_any_bytes_can_be_extracted_from(page: bytes, charset: str) -> None:
    assert "\n\n\n" not in extract(page, charset)


@given(st.lists(st.text(st.characters(exclude_characters="&<", exclude_categories=["C"])), max_size=5).map("\n\n".join))
def test_light_text_of_light_text_is_the_same(text: str) -> None:
    once = light_text(text)
    assert light_text(once) == once


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        b"<div>" * 20_000 + PROSE[0].encode(),
        b"<b>" * 5_000 + PARAGRAPHS.encode(),
        b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">" + PROSE[0].encode(),
        b"<table><tr><td>" * 3_000 + PROSE[0].encode(),
        b"<p>" + b"<a '>" * 20_000 + b"</p>" + PROSE[0].encode(),
    ],
)
def test_a_page_made_to_choke_a_parser_still_gives_its_text(page: bytes) -> None:
    assert PROSE[0] in extract(page)
