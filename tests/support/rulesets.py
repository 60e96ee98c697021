"""A rule file that uses the whole language, and a short way from texts to rule sets and findings."""

from engine.diagnostics import has_errors, render
from engine.rulefile.load import check_files
from engine.tomlfile import TomlFile, parse_toml
from tests.support.plugins import CATALOGUE, DETECTORS

WHOLE_LANGUAGE = """
[signal.loss-spike]
on = "training.step"
where = "event.data.step > 100"
by = { run = "event.subject", model = "event.data.model" }
value = "event.data.loss"
detect = { method = "mean", above = 8.0 }
for = "2m"
cooldown = "5m"
description = "the loss jumps"

[signal.label-flips]
on = ["training.batch", "data.*"]
where = "event.subject in list.watched_runs"
by = { run = "event.subject" }
detect = { method = "count", at_least = 20, within = "5m" }

[signal.maintenance]
on = "ops.maintenance"
by = { run = "event.subject" }

[list.watched_runs]
values = ["run-7", "run-8"]

[incident.gpu-meltdown]
description = "too hot"

[rule.data-poisoning]
incident = "data-poisoning"
severity = "critical"
by = ["run"]
when = { all = ["loss-spike", "label-flips"], within = "10m", none = ["maintenance"], wait = "1m", corroborate = 2 }
playbook = "halt-training"
mode = "observe"
tags = ["atlas:AML.T0020"]
title = "Poisoned"
description = "d"
references = ["https://example.org"]
owner = "ml-security"
false_positives = "warm restarts"

[rule.either]
incident = "gpu-meltdown"
severity = "low"
when = { any = ["loss-spike", "label-flips"], at_least = 2, within = "1h" }

[rule.ordered]
incident = "model-drift"
severity = "medium"
when = { sequence = ["loss-spike", "label-flips", "loss-spike"], within = "1d" }

[playbook.halt-training]
contain = [
  { do = "slurm.suspend", job = "${event.data.job_id}", nodes = ["n-${incident.key.run}", "n2"], hold = "24h" },
  { do = "slurm.suspend", job = "17", grace = "5s", on_failure = "continue", timeout = "90s", retries = 0 },
]
investigate = [{ do = "file.delete", path = "a $${b}", when = "incident.severity == 'critical'" }]
recover = [{ do = "slurm.suspend", job = "x", approve = true, labels = { run = "${signals['loss-spike'].event.id}" } }]
"""


def check(*texts, **options):
    """The rule set and findings of files `0.toml`, `1.toml`, … with these texts (or bytes)."""
    files, unread = [], []
    for number, text in enumerate(texts):
        content = text if isinstance(text, bytes) else text.encode()
        file = parse_toml(content, f"{number}.toml")
        (files if isinstance(file, TomlFile) else unread).append(file)
    return check_files(files, unread, catalogue=CATALOGUE, detectors=DETECTORS, **options)


def sound(text, **options):
    """The rule set of a text that has no error."""
    rules, found = check(text, **options)
    assert not has_errors(found), render(found)
    return rules


def codes(*texts):
    """The codes found, in the order of their places."""
    return [each.code for each in check(*texts)[1]]
