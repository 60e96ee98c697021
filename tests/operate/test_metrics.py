"""Metrics as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from actions.table import CATALOGUE
from engine.detectors.table import DETECTORS
from engine.model import Fault, IntentState, Mode
from engine.operate.metrics import LABEL_VALUES_MAX, Metrics
from engine.rulefile.load import load_rules
from tests.support.stored import FREEZE, INCIDENT


def samples(metrics):
    """{(name, sorted labels): value} of the rendered text."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_only_what_was_verified_counts_as_contained():
    """An unverified outcome is counted as such and adds nothing to the time to containment."""
    metrics = Metrics()
    metrics.settled(FREEZE, IntentState.UNVERIFIED, latency_us=5_000_000)
    metrics.settled(FREEZE, IntentState.FAILED, latency_us=5_000_000)
    metrics.settled(FREEZE, IntentState.VERIFIED, latency_us=20_000)
    found = samples(metrics)
    for outcome in ("unverified", "failed", "verified"):
        assert found["halon_outcomes_total", (("action", "process.freeze"), ("outcome", outcome))] == 1
    assert found["halon_containment_seconds_count", ()] == 1
    assert found["halon_containment_seconds_sum", ()] == 0.02


def test_labels_from_outside_are_bounded():
    """However many sources and types events name, the number of series stays bounded; the rest is `other`."""
    metrics = Metrics()
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.event(source=f"s{number}", event_type="t", verdict="accepted")
    metrics.event(source="x" * 1_000, event_type="t", verdict="accepted")
    series = {key: value for key, value in samples(metrics).items() if key[0] == "halon_events_total"}
    assert len(series) == LABEL_VALUES_MAX + 1
    others = ("halon_events_total", (("source", "other"), ("type", "t"), ("verdict", "accepted")))
    assert series[others] == LABEL_VALUES_MAX * 2 + 1


def test_every_name_carries_the_product_and_a_base_unit():
    """All names begin with `halon_`; times are in seconds; counters end in `_total`."""
    metrics = Metrics()
    metrics.event(source="a", event_type="b", verdict="duplicate", count=2)
    metrics.batch(events=10, commit_s=0.004, lag_s=0.02)
    metrics.commit_failed()
    metrics.queue("intents", 3)
    metrics.signal(INCIDENT.signals[0])
    metrics.incident(INCIDENT)
    metrics.intent(FREEZE)
    metrics.fault(Fault(owner="signal.x", field="where", reason="no", at_us=0))
    metrics.evicted("signal.x", 4)
    metrics.deadletter("local")
    metrics.door("local", connected=True)
    metrics.rules_loaded(rules=12, at_us=1_500_000)
    metrics.reloaded(taken=False)
    metrics.acting(mode=Mode.ENFORCE, paused=True)
    metrics.held(incidents_open=1, leases={"training": 1}, in_conflict=0)
    metrics.budget(kind="training", budget="held", left=4)
    found = samples(metrics)
    assert all(name.startswith("halon_") for name, _ in found)
    assert not [name for name, _ in found if "_ms" in name or "_us" in name]
    assert found["halon_acting", ()] == 0
    assert found["halon_rules_loaded_timestamp_seconds", ()] == 1.5
    assert found["halon_reloads_total", (("taken", "false"),)] == 1
    assert found["halon_key_evictions_total", (("owner", "signal.x"),)] == 4
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.documentation, family.name


def test_what_rules_may_count_begins_at_nothing(tmp_path):
    """The first failure is an increase: its series was there before, at 0."""
    (tmp_path / "rules.toml").write_text(
        """
[signal.s]
on = "a"
[rule.r]
incident = "availability"
severity = "high"
when = { all = ["s"] }
playbook = "p"
[playbook.p]
contain = [{ do = "process.freeze", pid = 1 }]
"""
    )
    rules, found = load_rules([tmp_path], catalogue=CATALOGUE, detectors=DETECTORS)
    assert rules is not None, found
    metrics = Metrics()
    metrics.expect(rules, ["local"])
    begun = samples(metrics)
    for name, labels in (
        ("halon_outcomes_total", (("action", "process.freeze"), ("outcome", "failed"))),
        ("halon_outcomes_total", (("action", "process.freeze"), ("outcome", "unverified"))),
        ("halon_faults_total", (("owner", "s"),)),
        ("halon_incidents_total", (("incident", "availability"), ("severity", "high"))),
        ("halon_deadletters_total", (("source", "local"),)),
        ("halon_reloads_total", (("taken", "false"),)),
    ):
        assert begun[name, labels] == 0
    assert not [labels for name, labels in begun if ("outcome", "held") in labels]
