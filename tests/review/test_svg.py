"""Drawings are well-formed XML that shows what it says."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from engine.review.series import Series
from engine.review.svg import HEIGHT, POINTS_DRAWN_MAX, WIDTH, draw

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def series(values, **more):
    points = tuple((BEGAN + timedelta(seconds=n), value) for n, value in enumerate(values))
    return Series("loss <b>", "event.data.loss & more", points, **more)


@pytest.mark.parametrize("values", [[1.0], [0.0] * 10, [1e-300, 1e300], [-5.0, 5.0], [float(n) for n in range(50)]])
def test_every_point_lies_within_the_picture(values):
    """Constants, one point, huge ranges and negative values too."""
    root = ET.fromstring(draw(series(values)))
    places = next(each for each in root if each.get("class") == "curve").get("points").split()
    assert len(places) == len(values)
    for place in places:
        x, y = map(float, place.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_threshold_findings_and_moments_are_drawn():
    """One line, two dots, one named moment; one outside of the time is left out."""
    moments = ((BEGAN + timedelta(seconds=5), "opened"), (BEGAN + timedelta(days=1), "closed"))
    text = draw(series([1.0] * 10, threshold=3.0, marks=(BEGAN, BEGAN + timedelta(seconds=9))), moments=moments)
    root = ET.fromstring(text)
    assert [each.get("class") for each in root].count("fired") == 2
    assert [each.get("class") for each in root].count("threshold") == 1
    assert [each.get("class") for each in root].count("moment") == 1
    assert "opened" in text
    assert "closed" not in text


def test_of_many_points_no_peak_is_lost():
    """A hundred thousand points, one of which is a thousand times the others."""
    values = [1.0] * 100_000
    values[77_777] = 1_000.0
    root = ET.fromstring(draw(series(values)))
    places = next(each for each in root if each.get("class") == "curve").get("points").split()
    assert len(places) <= POINTS_DRAWN_MAX + 2
    heights = [float(place.split(",")[1]) for place in places]
    assert min(heights) < 30 < max(heights)
