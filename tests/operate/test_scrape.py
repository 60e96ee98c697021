"""engine.operate.scrape: gauges read from a real database at the moment they are asked for."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.operate.client import _UnixConnection
from tests.support.steered import serving
from tests.support.stored import make_database
from tests.support.wait import until


def scraped(path):
    """Name and labels to value, of what `/metrics` answers."""
    connection = _UnixConnection(path)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def scrapes(tmp_path):
    """Two scrapes of one daemon."""
    path = tmp_path / "control.sock"
    with serving(path, make_database(tmp_path / "halon.db")):
        until(path.exists)
        return scraped(path), scraped(path)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("halon_leases_held", {"kind": "training"}, 1),
        ("halon_leases_in_conflict", {}, 0),
        ("halon_incidents_open", {}, 1),
        ("halon_budget_left", {"kind": "training", "budget": "held"}, 4),
        ("halon_queue_length", {"queue": "steps-held"}, 1),
        ("halon_queue_length", {"queue": "events"}, 3),
        ("halon_queue_length", {"queue": "deadletters"}, 1),
        ("halon_door_connected", {"door": "local"}, 1),
        ("halon_door_connected", {"door": "far"}, 0),
        ("halon_rules", {}, 12),
        ("halon_acting", {}, 1),
        ("halon_deadlines_overdue", {"phase": "contain"}, 0),
        ("halon_notices", {"state": "failed"}, 0),
        ("halon_recorded_events", {}, 0),
        ("halon_watched_keys", {}, 0),
        ("halon_store_set_aside", {}, 0),
        ("halon_key_evictions_total", {"owner": "signal.loss-spike"}, 3),
    ],
)
def test_gauges_say_what_the_real_database_and_the_daemon_say(scrapes, name, labels, value):
    """Each gauge is current; a second scrape counts no eviction again."""
    for each in scrapes:
        assert each[name, tuple(sorted(labels.items()))] == value


def test_a_kind_without_limits_has_no_budget(scrapes):
    """What has no limit has nothing left of it either."""
    assert not [labels for name, labels in scrapes[0] if name == "halon_budget_left" and ("kind", "endpoint") in labels]
