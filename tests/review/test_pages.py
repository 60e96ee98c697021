"""The review as a document, as Markdown and as an HTML page: all that is known, nothing that an event smuggled in."""

from html.parser import HTMLParser

import msgspec
import pytest

from engine.model import Json
from engine.operate.reviews import Kept
from engine.review.document import compose
from engine.review.markdown import to_markdown
from engine.review.page import to_html
from engine.review.proposals import Area
from engine.review.series import around
from tests.support.reviewed import close, miss, reviewed

SECTIONS = (
    "Summary", "What happened", "What it touches", "Why it fired", "The signals around the moment", "Every decision",
    "How long each station took", "Deadlines", "What was contained, and what was undone", "Evidence that was kept",
    "Who was told", "What else has to do with it", "What to change",
)  # fmt: skip
HOSTILE = '<img src=x onerror=alert(1)> | `x` [a](javascript:alert(1)) "q" \x1b[31m'


@pytest.fixture
def document(tmp_path):
    """A review with a missed deadline and evidence."""
    review, rules, _ = reviewed(tmp_path, move=miss)
    receipt: dict[str, Json] = {"folder": "/var/lib/halon/evidence", "sha256": "ab" * 32, "files": 3}
    review = msgspec.structs.replace(review, kept=(Kept(review.detail.steps[1].intent, "evidence.capture", receipt),))
    return compose(review, around(review, rules))


def test_a_document_has_every_section_and_says_where_there_is_nothing(document):
    """No section is left out."""
    assert tuple(each.title for each in document.sections) == SECTIONS
    assert all(each.blocks for each in document.sections)


def test_all_eight_areas_are_answered(document):
    """Each with proposals, or with the word that nothing asks for one."""
    text = to_markdown(document)
    for area in Area:
        assert f"{area.value.capitalize()}:" in text


@pytest.mark.parametrize("render", [to_markdown, to_html])
def test_both_pages_hold_the_same_facts(document, render):
    """Evidence, decisions, digests, deadlines and notices."""
    text = render(document)
    for fact in ("performance-anomaly", "sick-model", "haproxy.drain", "ab" * 32, "MISSED", "pager", "model=m-1"):
        assert fact in text, fact


def test_the_page_is_well_formed_and_loads_nothing(document):
    """No script, no link, no picture from elsewhere; every tag is closed; the policy forbids the rest."""
    opened, wrong = [], []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag in {"script", "img", "link", "iframe", "object", "a"} or any(n in {"src", "href"} for n, _ in attrs):
                wrong.append(tag)
            if tag not in {"meta"}:
                opened.append(tag)

        def handle_startendtag(self, tag, attrs):
            if tag in {"image", "use"}:
                wrong.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    text = to_html(document)
    Parser().feed(text)
    assert (opened, wrong) == ([], [])
    assert "default-src 'none'" in text
    assert text.count("<svg") == 2


def test_what_an_event_says_stays_text(tmp_path):
    """Markup, table bars, links and control characters in reasons and targets are shown, not obeyed."""
    review, rules, _ = reviewed(tmp_path, move=close(HOSTILE))
    document = compose(review, around(review, rules))
    page, text = to_html(document), to_markdown(document)
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\x1b" not in text
    assert "](javascript" not in text.replace("\\]", "")
    assert "\\<img" in text
    rows = [line for line in text.splitlines() if "onerror" in line]
    assert rows
    assert all(line.count(" | ") == 1 for line in rows if line.startswith("| State"))
