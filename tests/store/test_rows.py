"""Structs to the text of a column and back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Struct
from engine.store.rows import canonical, decode, decode_any, encode


class Row(Struct, frozen=True):
    """Something with optional parts."""

    name: str
    at_us: int = 0
    tags: tuple[str, ...] = ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_any_json_comes_back(value):
    """What an event may hold survives its column."""
    assert decode_any(encode(value), object) == value
    assert decode_any(canonical(value), object) == value


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_canonical_text_does_not_depend_on_the_order_of_keys(value):
    """Equal values hash alike, however they were built."""
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_a_struct_comes_back_as_it_was():
    """What was written is read as the same struct, what was left out included."""
    for each in (Row("a"), Row("é\n", 2**62, ("x", "y"))):
        assert decode(encode(each), Row) == each


def test_a_column_that_was_tampered_with_is_no_struct():
    """Another shape, or no JSON, raises what the callers know."""
    for text in ('{"name": 7}', '{"name": "a", "more": 1}', "{", ""):
        with pytest.raises(msgspec.DecodeError):
            decode(text, Row)
