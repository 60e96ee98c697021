"""engine.intake.topics: which filter a topic falls under (MQTT 3.1.1, 4.7)."""

import pytest

from engine.intake.topics import matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d/c", False),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("+/+", "/a", True),
        ("+", "/a", False),
        ("$share/g/a/#", "a/b", True),
        ("$share/g/a/#", "b", False),
    ],
)
def test_a_topic_falls_under_a_filter_as_the_standard_says(topic_filter, topic, expected):
    """Wildcards stand for whole levels, `#` for the parent too, and neither reaches `$` topics."""
    assert matches(topic_filter, topic) is expected
