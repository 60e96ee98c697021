"""Reading TOML: values, places, and a diagnostic for everything that is not TOML."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.diagnostics import Diagnostic
from engine.tomlfile import DEPTH_MAX, FILE_BYTES_MAX, TomlFile, parse_toml, read_toml
from tests.support.tomltext import documents

SAMPLE = '''\
title = "plain"
[signal.loss-spike]
where = "a\\tb && \\u00e9 > 1"
detect = { method = "robust-z",
  above = 8.0 }
text = """
one
two\\
   three"""

[[mqtt]]
name = 'first'
[[mqtt]]
name = "second"
'''


def shown(span):
    """The line, and the text that the carets stand below."""
    return span.line, span.source_line[span.column - 1 : span.column - 1 + span.length]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("title",), (1, "title"), (1, '"plain"')),
        (("signal",), (2, "signal"), (2, "signal")),
        (("signal", "loss-spike"), (2, "loss-spike"), (2, "[signal.loss-spike]")),
        (("signal", "loss-spike", "detect"), (4, "detect"), (4, '{ method = "robust-z",')),
        (("signal", "loss-spike", "detect", "above"), (5, "above"), (5, "8.0")),
        (("mqtt", 1), (13, "mqtt"), (13, "[[mqtt]]")),
        (("mqtt", 0, "name"), (12, "name"), (12, "'first'")),
        (("mqtt", 1, "name"), (14, "name"), (14, '"second"')),
        (("mqtt", 7, "name"), (11, "mqtt"), (11, "mqtt")),
        (("nowhere",), (1, "t"), (1, "t")),
    ],
)
def test_keys_and_values_have_places(path, key, value):
    """The place of a key and of its value; the nearest place there is for a path that the file has not."""
    file = parse_toml(SAMPLE.encode(), "x.toml")
    assert (shown(file.key(path)), shown(file.value(path))) == (key, value)


@pytest.mark.parametrize(
    ("path", "offset", "length", "expected"),
    [
        (("signal", "loss-spike", "where"), 0, 1, (3, "a")),
        (("signal", "loss-spike", "where"), 1, 1, (3, "\\t")),
        (("signal", "loss-spike", "where"), 1, 2, (3, "\\tb")),
        (("signal", "loss-spike", "where"), 7, 1, (3, "\\u00e9")),
        (("signal", "loss-spike", "where"), 99, 5, (3, '"')),
        (("signal", "loss-spike", "text"), 4, 3, (8, "two")),
        (("signal", "loss-spike", "text"), 7, 5, (9, "three")),
        (("signal", "loss-spike", "text"), 0, 7, (7, "one")),
        (("signal", "loss-spike", "detect", "above"), 0, 1, (5, "8.0")),
    ],
)
def test_characters_inside_strings_have_places(path, offset, length, expected):
    """Escapes count as the character they mean, and folded line ends as nothing."""
    file = parse_toml(SAMPLE.encode(), "x.toml")
    assert shown(file.inside(path, offset, length)) == expected


@settings(max_examples=60)
@given(documents())
def test_values_are_those_the_text_means(document):
    """Every generated document reads as the value it was written from, whatever its line ends."""
    text, value = document
    assert parse_toml(text.encode(), "x.toml").table == value


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"a = ", "H002", 1, 5),
        (b"a = 1\nb = [1,\n", "H002", 3, 1),
        (b'ok = 1\nname = "\xff\xfe"', "H002", 2, 9),
        (b'a = "\x00"', "H002", 1, 6),
        (b"a = " + b"[" * 3_000 + b"]" * 3_000, "H003", 1, 4 + DEPTH_MAX),
        (b"[" + b"a." * 3_000 + b"a]", "H003", 1, 2 + 2 * (DEPTH_MAX - 1) + 2),
        (b"a = " + b"9" * 5_000, "H003", 1, 5),
        (b"a = 1\na = 2", "H009", 2, 1),
    ],
)
def test_what_is_not_toml_is_one_diagnostic_at_its_place(content, code, line, column):
    """Bad encodings, syntax, nesting and numbers are diagnostics, not exceptions."""
    found = parse_toml(content, "x.toml")
    assert isinstance(found, Diagnostic)
    assert (found.code, found.span.line, found.span.column) == (code, line, column)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa = 1", b"a = 1\r\n", b"", b"a=[" + b"1," * 100_000 + b"]"])
def test_harmless_oddities_are_read(content):
    """A byte order mark, line ends of Windows, an empty file and a long list are fine."""
    assert isinstance(parse_toml(content, "x.toml"), TomlFile)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text("a=[]{}\"'#\n ,.1\\\0é", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_diagnostic(content):
    """No input raises, and whatever is read can be located."""
    found = parse_toml(content, "x.toml")
    if isinstance(found, TomlFile):
        for key in found.table:
            assert found.key((key,)).line >= 1
    else:
        assert found.code in {"H002", "H003", "H009"}


def test_files_that_cannot_be_read_are_diagnostics(tmp_path):
    """A missing file, a folder, a pipe and a huge file are refused at once, and the message names them."""
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    cases = {tmp_path / "none.toml": "H001", tmp_path: "H001", pipe: "H001", huge: "H003"}
    for path, code in cases.items():
        found = read_toml(path)
        assert isinstance(found, Diagnostic)
        assert (found.code, str(path) in found.title) == (code, True)
