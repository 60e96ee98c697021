"""The scanner of places, held equal to tomli on generated documents."""

import contextlib

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tomlspans import Lost, PastLimit, scan, string_extents
from tests.support.tomltext import documents, spelled_string


def reread(text, node, value):
    """Assert that the places of `node`, parsed again by tomli on their own, mean `value`."""
    start, end = node.value
    literal = text[start:end]
    if isinstance(value, dict):
        assert set(node.members) == set(value)
        for key, each in value.items():
            child = node.members[key]
            key_text = text[slice(*child.key)]
            assert tomli.loads(f"{key_text} = 1") == {key: 1}
            reread(text, child, each)
        if literal.startswith("{"):
            assert tomli.loads(f"x = {literal}") == {"x": value}
    elif isinstance(value, list):
        assert len(node.items) == len(value)
        for child, each in zip(node.items, value, strict=True):
            reread(text, child, each)
        if literal.startswith("[") and not literal.startswith("[["):
            assert tomli.loads(f"x = {literal}") == {"x": value}
    else:
        assert tomli.loads(f"x = {literal}") == {"x": value}


@settings(max_examples=150)
@given(documents())
def test_each_place_parsed_alone_means_what_the_document_means(document):
    """Every key and value is where the scanner says, in every spelling that TOML has."""
    text, value = document
    text = text.replace("\r\n", "\n")
    assert tomli.loads(text) == value
    reread(text, scan(text, depth_max=100, number_chars_max=100), value)


@settings(max_examples=150)
@given(st.data(), st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\t\"'\\")))
def test_each_character_of_a_string_has_its_place(data, value):
    """The literal cut at the place of a character means the value cut at that character."""
    literal = data.draw(spelled_string(value))
    text = f"x = {literal}"
    extents = string_extents(text, 4, len(text))
    assert len(extents) == len(value) + 1
    quotes = text[slice(*extents[-1])]
    opening = text[4 : 4 + len(quotes)] + ("\n" if len(quotes) == 3 else "")
    for (start, end), char in zip(extents, value, strict=False):
        assert tomli.loads(f"x = {opening}{text[start:end]}{quotes}") == {"x": char}


@pytest.mark.parametrize(
    ("text", "offset"),
    [("a = [[[[1]]]]", 6), ("a.b.c.d = 1", 6), ("a = {b = {c = {d = 1}}}", 14), ("[a.b.c.d]", 7), ("a = 1234567", 4)],
)
def test_limits_are_reported_where_they_are_reached(text, offset):
    """Nesting deeper than three levels, and numbers longer than six characters, end the scan at their place."""
    with pytest.raises(PastLimit) as caught:
        scan(text, depth_max=3, number_chars_max=6)
    assert caught.value.at == offset


@settings(max_examples=300)
@given(st.text(st.sampled_from("a=[]{}\"'#\n ,.1\\") | st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_ends_the_scan(text):
    """A text that is not TOML gives Lost or a tree, never another exception or an endless loop."""
    with contextlib.suppress(Lost, PastLimit):
        assert scan(text, depth_max=5, number_chars_max=20) is not None
