"""engine/detectors/texts.py: texts as a reader sees them."""

import pytest

from engine.detectors.texts import TEXT_CHARS_MAX, as_text, letters, plain, words


@pytest.mark.parametrize(
    ("text", "seen"),
    [("ＡＢＣ", "abc"), ("se\u200bcret", "secret"), ("STRASSE ß", "strasse ss"), ("ﬁle", "file")],
    ids=["full-width", "zero-width", "case", "ligature"],
)
def test_tricks_of_writing_do_not_matter(text, seen):
    """Width, invisible characters, case and ligatures are undone."""
    assert plain(text) == seen


def test_letters_and_words():
    """What stands between letters goes, or parts words."""
    assert letters("Z-x. q_U\u00a0a") == "zxqua"
    assert words("It's  a\ttest, no?") == ["it", "s", "a", "test", "no"]


def test_no_text_is_none_and_a_long_one_is_cut():
    """Half a surrogate pair becomes a question mark, which can be written down."""
    assert as_text(5) is None
    assert as_text("\ud83d") == "?"
    assert len(as_text("x" * 200_000)) == TEXT_CHARS_MAX
