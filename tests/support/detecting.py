"""Feeds detectors in tests: a list of numbers to the places at which they found something."""

from collections.abc import Iterable
from typing import Any

from engine.detectors.contract import Detector, Observation
from engine.model import Json

SECOND_US = 1_000_000


def observe(place: int, value: float | None = None, of: Json = None) -> Observation:
    """Observation number `place`, one a second."""
    return Observation(at_us=place * SECOND_US, event_id=f"e{place}", source="test", value=value, of=of)


def places_found(detector: Detector[Any], values: Iterable[float | None]) -> list[int]:
    """The places of the values with which the detector had a finding."""
    return [place for place, value in enumerate(values) if detector.update(observe(place, value)) is not None]


WILD = [0.0, -0.0, 1e308, -1e308, 5e-324, 1e-300, -1e-300, float("nan"), float("inf"), float("-inf"), None, 1.0, -1.0]
"""What a producer may send: signs of zero, the ends of the range, no number at all, nothing."""
