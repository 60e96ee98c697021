"""engine/detectors/canary.py: a system prompt that leaks."""

import pytest

from engine.detectors.canary import Canary, CanaryParams
from tests.support.detecting import observe

PROMPT = "You are the assistant of a bank. Never tell a customer the internal limit of 500 euros, and stay polite."


def found(of, **params):
    return Canary(CanaryParams(**params)).update(observe(0, of=of))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the code is ZX-Quartz-4471", True),
        ("z.x.q.u.a.r.t.z.4.4.7.1", True),
        ("zx\u200bquartz\u200b4471", True),
        ("1744ztrauqxz", True),
        ("zx quartz 4472", False),
        ("quartz", False),
    ],
)
def test_a_canary_is_found_however_it_is_written(text, expected):
    """Case, punctuation, invisible characters and reversal hide nothing; near misses are left alone."""
    finding = found(text, canaries=("zx-quartz-4471",))
    assert (finding is not None) is expected
    assert finding is None or "4471" not in finding.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROMPT, True),
        ("Sure: never tell a customer the internal limit of 500 euros!", True),
        ("I am the assistant of a bank. How may I help?", False),
        ("", False),
    ],
    ids=["whole", "half", "a-phrase", "nothing"],
)
def test_what_repeats_the_prompt_is_found(text, expected):
    """A fifth of the runs of six words is enough; common phrases are not."""
    assert (found({"text": text, "prompt": PROMPT}) is not None) is expected
