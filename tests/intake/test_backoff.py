"""engine.intake.backoff: the waits between two tries to connect."""

import pytest

from engine.intake.backoff import Backoff


@pytest.mark.parametrize(
    ("share", "waits"),
    [(1.0, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]), (0.0, [0.125, 0.25, 0.5, 1.0, 2.0, 2.5, 2.5])],
)
def test_waits_double_up_to_the_cap_and_jitter_takes_at_most_a_half(share, waits):
    """Each wait is twice the one before until the cap; the random share decides between half and whole."""
    backoff = Backoff(5.0, share=lambda: share)
    assert [backoff.next_s() for _ in waits] == waits
    backoff.reset()
    assert backoff.next_s() == waits[0]


def test_many_failures_do_not_overflow():
    """After days without a broker the wait is still the cap."""
    backoff = Backoff(30.0, share=lambda: 1.0)
    assert {backoff.next_s() for _ in range(5_000)} >= {30.0}
    assert backoff.next_s() == 30.0
