"""engine/detectors/repetition.py: output that goes round in circles."""

import pytest

from engine.detectors.repetition import Repetition, RepetitionParams
from tests.support.detecting import observe

PROSE = (
    "The kettle had been on for some time before anyone noticed that the gas was low. Outside, a van reversed slowly "
    "past the bakery, and two children argued about whose turn it was to hold the dog. By noon the rain had stopped, "
    "the bread was gone, and the street smelled of wet stone and coffee, as it always did at the end of the week."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, False),
        (PROSE + " and so on" * 60, True),
        ("I cannot do that. " * 30, True),
        ("a" * 2_000, True),
        ("我不知道。" * 200, True),
        ("no no no", False),
        (" ".join(str(number) for number in range(200)), False),
    ],
    ids=["prose", "ends-in-a-loop", "one-sentence", "one-letter", "without-spaces", "short", "numbers"],
)
def test_loops_are_found_and_prose_is_not(text, expected):
    """More than half of the runs of words came before."""
    assert (Repetition(RepetitionParams()).update(observe(0, of=text)) is not None) is expected
