"""`in` on constant lists: the sets answer as one comparison after the other does."""

from hypothesis import given
from hypothesis import strategies as st

from engine.cel.constants import ConstantSet, exact
from engine.cel.semantics import contains
from tests.support.celtext import BEYOND, DOUBLES, INTS, TEXTS

VALUES = st.sampled_from([*INTS, *BEYOND, *DOUBLES, *TEXTS, None, True, False, [], ["a"], [1], {}, {"a": 1}])


@given(st.lists(VALUES, max_size=6), VALUES)
def test_a_constant_set_equals_the_list(values: list[object], looked_for: object) -> None:
    """Bools are not 0 and 1, big numbers round as in CEL, lists and maps compare by parts."""
    made = ConstantSet(values)  # type: ignore[arg-type]
    assert made.contains(looked_for) is contains(looked_for, values)
    if made.only_strings:
        assert (looked_for in made.strings if isinstance(looked_for, str) else False) is contains(looked_for, values)


def test_numbers_compare_exactly_below_two_to_the_53() -> None:
    """From there on a double may stand for several ints."""
    assert exact(2**53 - 1)
    assert exact(-0.5)
    assert not exact(2**53)
    assert not exact(True)
    assert not exact(float("nan"))
    assert not exact("1")
