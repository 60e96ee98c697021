"""engine/detectors/sample.py: a file of values to a sample, whatever its bytes are."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.detectors.sample import VALUES_MAX, parse_sample


def npy(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


NUMBERS = [each / 4 for each in range(20)]
LINES = "\n".join(map(str, NUMBERS))


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.json", str(NUMBERS).encode(), None),
        ("a.csv", LINES.encode(), None),
        ("A.CSV", f"\ufeffscore\r\n{LINES}\n\n".encode(), None),
        ("a.csv", ("id,score\n" + "\n".join(f"x{each},{each}" for each in NUMBERS)).encode(), "score"),
        ("a.npy", npy(np.array(NUMBERS)), None),
        ("a.npy", npy(np.array(NUMBERS, dtype=">f4")), None),
    ],
    ids=["json", "csv", "csv-with-a-header", "csv-with-columns", "npy", "npy-big-endian"],
)
def test_numbers_are_the_same_from_each_form(name, content, column):
    """JSON, CSV with and without a header, and .npy give the same values and so the same digest."""
    sample = parse_sample(name, content, column)
    assert sample.values == NUMBERS
    assert not sample.texts
    assert sample.digest == parse_sample("b.json", str(NUMBERS).encode()).digest


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'{"cat": 18, "dog": 2}'),
        ("a.json", str(["cat"] * 18 + ["dog"] * 2).replace("'", '"').encode()),
        ("a.csv", b"cat\n" * 18 + b"dog\n" * 2),
        ("a.npy", npy(np.array(["cat"] * 18 + ["dog"] * 2))),
    ],
    ids=["counts", "list", "csv", "npy"],
)
def test_categories_are_the_same_from_each_form(name, content):
    """A table of counts is its categories, each so often."""
    sample = parse_sample(name, content)
    assert sample.values == ["cat"] * 18 + ["dog"] * 2
    assert sample.texts


def test_truth_values_are_the_categories_that_events_give():
    """`true` in a file is what `true` of an event is."""
    assert parse_sample("a.json", b"[" + b"true," * 19 + b"false]").values == ["true"] * 19 + ["false"]
    assert parse_sample("a.npy", npy(np.ones(20, dtype=bool))).values == ["true"] * 20


@pytest.mark.parametrize(
    ("name", "content", "column", "said"),
    [
        ("a.pkl", pickle.dumps(NUMBERS), None, "must end in one of"),
        ("a.json", b"[1, 2", None, "not JSON"),
        ("a.json", b"\xff", None, "not JSON"),
        ("a.json", b"[" * 100_000, None, "not JSON"),
        ("a.json", b"12", None, "neither a list"),
        ("a.json", b"[]", None, "it has 0 values"),
        ("a.json", b"[1, null]", None, "element 1 is neither"),
        ("a.json", b"[[1]]", None, "element 0 is neither"),
        ("a.json", b'{"cat": 1.5}', None, "the count of 'cat'"),
        ("a.json", b'{"cat": -1}', None, "the count of 'cat'"),
        ("a.json", b'{"cat": 99999999999}', None, "divide them all"),
        ("a.json", b'{"cat": 60000, "dog": 60000}', None, f"more than {VALUES_MAX:,}"),
        ("a.json", str(NUMBERS).encode(), "score", "only a CSV"),
        ("a.csv", b"1\n2\n3\n", None, "it has 3 values"),
        ("a.csv", b"1\n" * 30 + b"nan\n", None, "line 31 is neither"),
        ("a.csv", b"1\n" * 30 + b'"\n', None, "not CSV"),
        ("a.csv", b"\xff\n", None, "not CSV"),
        ("a.csv", b"a,b\n1,2\n", None, "it has 2 columns"),
        ("a.csv", b"a,b\n1,2\n", "c", "no column 'c'"),
        ("a.csv", b"a,b\n1,2\n3\n", "b", "line 3 has 1 columns"),
        ("a.csv", b"", None, "it has 0 values"),
        ("a.npy", b"", None, "not an .npy"),
        ("a.npy", npy(np.array(NUMBERS))[:-1], None, "does not end where its array does"),
        ("a.npy", npy(np.ones((20, 2))), None, "2 dimensions"),
        ("a.npy", npy(np.array([{"a": 1}] * 20, dtype=object), allow_pickle=True), None, "no objects"),
        ("a.npy", npy(np.array([np.inf] * 20)), None, "element 0 is neither"),
        ("a.npy", npy(np.ones(20, dtype=complex)), None, "complex128"),
    ],
)
def test_what_is_no_sample_is_told_with_its_place(name, content, column, said):
    """Every mistake is a ValueError for people, with the element or line where there is one."""
    with pytest.raises(ValueError, match=said):
        parse_sample(name, content, column)


def test_a_header_that_promises_more_than_the_file_has_makes_no_array():
    """An .npy of a few bytes that says it has 10^12 elements is refused before memory is asked for."""
    content = npy(np.array(NUMBERS)).replace(b"(20,)", b"(%d,)" % 10**12)
    with pytest.raises(ValueError, match="does not end where"):
        parse_sample("a.npy", content)


@settings(max_examples=150)
@given(content=st.binary(max_size=300), name=st.sampled_from(["a.json", "a.csv", "a.npy"]), magic=st.booleans())
def test_any_bytes_are_a_sample_or_a_value_error(content, name, magic):
    """Nothing else comes out, whatever a file holds."""
    head = b"\x93NUMPY\x01\x00" if magic else b""
    try:
        sample = parse_sample(name, head + content)
    except ValueError:
        return
    assert sample.values
