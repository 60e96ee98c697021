"""docs/observability and docs/metrics.md against the real registry; the alerts by the real promtool."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from scripts import gen_operations
from tests.support.realparts import need

DOCS = Path(__file__).resolve().parents[2] / "docs"
ALERTS = DOCS / "observability/alerts.yml"
DASHBOARD = json.loads((DOCS / "observability/dashboard.json").read_text())
KINDS = {name: (kind, labels) for name, kind, labels, _ in gen_operations.families()}
GIVEN_BY_PROMETHEUS = {"instance", "job", "le"}


def expressions():
    """Every PromQL expression with the place where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"dashboard {panel['title']} {target['refId']}")
    for name, text in re.findall(r"alert: (\w+)\n\s+expr: (.*)\n", ALERTS.read_text()):
        yield pytest.param(text, id=name)


def family(name):
    """The metric that a sample belongs to, or None."""
    if name in KINDS:
        return name
    stem = re.sub(r"_(bucket|count|sum)$", "", name)
    return stem if KINDS.get(stem, ("",))[0] == "histogram" else None


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_and_label_of_an_expression_exists(expression):
    """A dashboard or alert names only metrics that the daemon has, with labels that they have."""
    text = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
    names = set(re.findall(r"\bhalon_[a-z_]+", text))
    if not names:
        assert text == 'up{job="halon"} == 0'
        return
    assert all(family(name) for name in names), names
    labels = {label for name in names for label in KINDS[family(name)][1]} | GIVEN_BY_PROMETHEUS
    used = set(re.findall(r"([a-z_]+)(?:=~|=|!=|!~)\"", text))
    for group in re.findall(r"by \((.*?)\)", text):
        used |= {each.strip() for each in group.split(",")}
    assert used <= labels


def test_real_promtool_reads_every_expression(tmp_path):
    """The syntax of each is PromQL's."""
    texts = [each.values[0].replace("$__rate_interval", "5m").replace("$instance", ".*") for each in expressions()]
    records = [{"record": f"one:{place}", "expr": text} for place, text in enumerate(texts)]
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "all", "rules": records}]}))
    done = subprocess.run([need("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(records)} rules found" in done.stdout


def test_every_metric_is_on_the_dashboard():
    """Nothing is measured that nobody sees."""
    shown = json.dumps(DASHBOARD["panels"])
    assert [name for name in KINDS if name not in shown] == []


def test_real_promtool_proves_each_alert_on_a_timeline():
    """Each alert stays quiet and then fires in alerts.test.yml; none is left out there."""
    done = subprocess.run(
        [need("promtool"), "test", "rules", "alerts.test.yml"],
        cwd=ALERTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = (ALERTS.parent / "alerts.test.yml").read_text()
    for name in re.findall(r"alert: (\w+)", ALERTS.read_text()):
        assert f"alertname: {name}, exp_alerts: []" in tested, name
        assert re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tested), name


def test_operators_are_told_what_to_do_about_each_alert():
    """docs/operations.md has a heading for each alert, and for no other."""
    told = re.findall(r"^### (Halon\w+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert told == re.findall(r"alert: (\w+)", ALERTS.read_text())


@pytest.mark.parametrize(
    ("page", "render"),
    [
        (gen_operations.METRICS_PAGE, gen_operations.render_metrics),
        (gen_operations.MAN_PAGE, gen_operations.render_man),
    ],
)
def test_generated_pages_are_current(page, render):
    """docs/metrics.md and the man page are what the code says."""
    assert page.read_text(encoding="utf-8") == render(), "run `make docs` and commit the page"
