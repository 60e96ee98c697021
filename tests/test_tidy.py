"""Style as a test: what a reviewer would otherwise have to say again and again. Each message names the remedy."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "actions").rglob("*.py")]
LINES_MAX = 600
TOP_LEVEL = {
    ".ci",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "actions",
    "benchmarks",
    "config.toml",
    "demo",
    "docs",
    "engine",
    "pyproject.toml",
    "rules",
    "scripts",
    "systemd",
    "tests",
}
# Sources that another test proves, each with where.
TWIN_ELSEWHERE: dict[str, str] = {
    "actions/web.py": "tests/actions/test_contract.py",
    "actions/kubernetes.py": "tests/actions/test_contract.py",
    "actions/aws.py": "tests/actions/test_contract.py",
    "actions/credentials/vault.py": "tests/actions/test_contract.py",
    "actions/models/mlflow.py": "tests/actions/test_contract.py",
    "engine/cli/__main__.py": "tests/cli/test___main__.py",
    "engine/cli/actions.py": "tests/cli/test_group.py",
    "engine/cli/audit.py": "tests/cli/test_incidents.py",
    "engine/cli/daemon.py": "tests/cli/test_incidents.py",
    "engine/cli/deadletters.py": "tests/cli/test_incidents.py",
    "engine/cli/export.py": "tests/cli/test_report.py",
    "engine/cli/rules.py": "tests/cli/test_report.py",
    "engine/cli/testadd.py": "tests/cli/test_report.py",
    "engine/review/document.py": "tests/review/test_pages.py",
    "engine/review/markdown.py": "tests/review/test_pages.py",
    "engine/review/page.py": "tests/review/test_pages.py",
    "engine/cli/examine.py": "tests/cli/test_forensics.py",
    "engine/cli/forensics_data.py": "tests/cli/test_forensics.py",
    "engine/cli/plotting.py": "tests/cli/test_forensics.py",
    "engine/cli/events.py": "tests/cli/test_incidents.py",
    "engine/intake/durable.py": "tests/intake/test_feed.py",
    "engine/cli/explain.py": "tests/cli/test_incidents.py",
    "engine/cli/leases.py": "tests/cli/test_incidents.py",
    "engine/cli/life.py": "tests/cli/test_incidents.py",
    "engine/cli/loading.py": "tests/cli/test_check.py",
    "engine/cli/setup.py": "tests/cli/test_group.py",
    "engine/cli/status.py": "tests/cli/test_incidents.py",
    "engine/cli/steering.py": "tests/cli/test_incidents.py",
    "engine/cli/watch.py": "tests/cli/test_incidents.py",
    "engine/operate/contract.py": "tests/operate/test_control.py",
    "engine/operate/shown.py": "tests/operate/test_views.py",
    "engine/action.py": "tests/actions/test_contract.py",
    "engine/config.py": "tests/test_configfile.py",
    "engine/cel/declare.py": "tests/cel/test_environment.py",
    "engine/cel/problems.py": "tests/cel/test_environment.py",
    "engine/cel/interpret.py": "tests/cel/test_compile.py",
    "engine/cel/folds.py": "tests/cel/test_compile.py",
    "engine/cel/naming.py": "tests/cel/test_compile.py",
    "engine/cel/shell.py": "tests/cel/test_compile.py",
    "engine/cel/write.py": "tests/cel/test_compile.py",
    "engine/cel/contract.py": "tests/cel/test_environment.py",
    "engine/detectors/contract.py": "tests/detectors/test_contract.py",
    "engine/detectors/count.py": "tests/detectors/test_windows.py",
    "engine/detectors/distinct.py": "tests/detectors/test_windows.py",
    "engine/detectors/largest.py": "tests/detectors/test_windows.py",
    "engine/detectors/mean.py": "tests/detectors/test_windows.py",
    "engine/detectors/quantile.py": "tests/detectors/test_windows.py",
    "engine/detectors/ratio.py": "tests/detectors/test_windows.py",
    "engine/detectors/smallest.py": "tests/detectors/test_windows.py",
    "engine/detectors/sum.py": "tests/detectors/test_windows.py",
    "engine/detectors/windowed.py": "tests/detectors/test_windows.py",
    "engine/detectors/absence.py": "tests/test_detect.py",
    "engine/detectors/evidence.py": "tests/test_detect.py",
    "engine/detectors/table.py": "tests/detectors/test_contract.py",
    "engine/detect/index.py": "tests/test_detect.py",
    "engine/detect/judge.py": "tests/test_detect.py",
    "engine/detect/watch.py": "tests/detect/test_net.py",
    "engine/detect/state.py": "tests/test_detect.py",
    "engine/correlate/joins.py": "tests/test_correlate.py",
    "engine/correlate/match.py": "tests/test_correlate.py",
    "engine/correlate/run.py": "tests/test_correlate.py",
    "engine/correlate/state.py": "tests/test_correlate.py",
    "engine/statechange.py": "tests/test_core.py",
    "engine/forensics/allowed.py": "tests/forensics/test_pickles.py",
    "engine/forensics/opcodes.py": "tests/forensics/test_pickles.py",
    "engine/forensics/files.py": "tests/forensics/test_integrity.py",
    "engine/forensics/report.py": "tests/cli/test_forensics.py",
    "engine/forensics/zips.py": "tests/forensics/test_tensors.py",
    "engine/rulefile/rules.py": "tests/rulefile",
    "engine/rulefile/context.py": "tests/rulefile/test_load.py",
    "engine/rulefile/shape.py": "tests/rulefile/test_load.py",
    "engine/cel/report.py": "tests/test_diagnostics.py",
    "engine/cli/keywords.py": "tests/cli/test_schema.py",
    "engine/observer.py": "tests/test_app.py",
    "engine/survey/places.py": "tests/survey/test_files.py",
    "engine/intake/listening.py": "tests/intake/test_doorkeeper.py",
    "engine/steering.py": "tests/test_app.py",
    "engine/intake/producers/table.py": "tests/intake/producers/test_contract.py",
    "engine/intake/letters.py": "tests/intake/test_formats.py",
    "engine/store/connection.py": "tests/store/test_database.py",
    "engine/store/deadletters.py": "tests/store/test_batch.py",
    "engine/store/deadlines.py": "tests/store/test_life.py",
    "engine/store/errors.py": "tests/store/test_database.py",
    "engine/store/faults.py": "tests/store/test_batch.py",
    "engine/store/happenings.py": "tests/store/test_life.py",
    "engine/store/incidents.py": "tests/store/test_batch.py",
    "engine/store/intents.py": "tests/store/test_batch.py",
    "engine/store/leases.py": "tests/contain/test_leases.py",
    "engine/store/migrate.py": "tests/store/test_database.py",
    "engine/store/notices.py": "tests/store/test_life.py",
    "engine/store/seen.py": "tests/store/test_batch.py",
    "engine/store/timers.py": "tests/store/test_batch.py",
    "engine/store/watches.py": "tests/store/test_life.py",
    "engine/contain/calls.py": "tests/contain/test_step.py",
    "engine/contain/chronicle.py": "tests/contain/test_step.py",
    "engine/contain/environment.py": "tests/contain/test_step.py",
    "engine/contain/housekeeping.py": "tests/contain/test_leases.py",
    "engine/contain/order.py": "tests/contain/test_executor.py",
    "engine/contain/reconcile.py": "tests/contain/test_leases.py",
    "engine/contain/service.py": "tests/contain/test_recovery.py",
    "engine/contain/steering.py": "tests/contain/test_guards.py",
    "actions/credentials/handover.py": "tests/actions/harness/redis.py",
    "actions/credentials/mosquitto.py": "tests/actions/harness/mosquitto.py",
    "actions/credentials/postgres.py": "tests/actions/harness/postgres.py",
    "actions/credentials/redis.py": "tests/actions/harness/redis.py",
    "actions/endpoints/haproxy.py": "tests/actions/harness/haproxy.py",
    "actions/endpoints/nftables.py": "tests/actions/harness/network.py",
    "actions/forensics/examining.py": "tests/actions/harness/forensics.py",
    "actions/models/registry.py": "tests/actions/harness/models.py",
    "actions/training/slurm.py": "tests/actions/harness/slurm.py",
}


def tracked(*patterns):
    """The files git knows or would know, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", SOURCE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_holds_one_idea_and_says_which(path):
    """Each module opens with a docstring and stays below the size that one reading holds."""
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().startswith('"""'), (
        "open the module with a docstring: what it turns into what, and who calls it"
    )
    assert text.count("\n") <= LINES_MAX, f"split it along its idea: more than {LINES_MAX} lines"


@pytest.mark.parametrize("path", SOURCE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_has_a_twin_in_the_tests(path):
    """engine/a/b.py is tested by tests/a/test_b.py, actions/a/b.py by tests/actions/a/test_b.py."""
    name = path.relative_to(ROOT)
    if path.name == "__init__.py" and path.read_text(encoding="utf-8").count("\n") < 12:
        return
    if name.parts[0] == "actions" and re.search(r'^    name = "', path.read_text(encoding="utf-8"), re.M):
        return  # an action: tests/actions/test_contract.py fails where it has no harness
    elsewhere = TWIN_ELSEWHERE.get(str(name))
    if elsewhere is not None:
        assert (ROOT / elsewhere).exists(), f"{elsewhere} is gone: give {name} a twin of its own"
        return
    stem = path.parent.name if path.name == "__init__.py" else path.stem.lstrip("_")
    below = name.parts[1:-1] if name.parts[0] == "engine" else name.parts[:-1]
    twin = Path("tests", *below, f"test_{stem}.py")
    flat = Path("tests", *below[:1], f"test_{stem}.py")
    assert (ROOT / twin).exists() or (ROOT / flat).exists(), f"add {twin}, or name in TWIN_ELSEWHERE what proves it"


def test_every_test_says_in_a_sentence_what_holds():
    """Each test function has a docstring."""
    head = re.compile(r"^( *)(?:async )?def (test_\w+)\(.*?\)(?: -> None)?:\n(\s*)(\S+)", re.M | re.S)
    missing = [
        f"{path.relative_to(ROOT)}: {match[2]}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for match in head.finditer(path.read_text(encoding="utf-8"))
        if not match[4].startswith(('"""', 'r"""'))
    ]
    assert not missing, "give them a docstring that states behaviour: " + ", ".join(missing[:20])


def test_tests_do_not_sleep():
    """No wall-clock sleeps: wait for a condition with a deadline, or use the virtual clock."""
    waits = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))")
    allowed = {"tests/support/wait.py"}
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "tests").rglob("*.py")
        if str(path.relative_to(ROOT)) not in allowed and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if waits.search(line)
    ]
    assert not found, "use tests.support.wait.until(...) or a VirtualClock: " + ", ".join(found)


def test_the_top_level_holds_nothing_that_a_run_left_there():
    """A file beside the known entries is either a slip or belongs into TOP_LEVEL."""
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == TOP_LEVEL


def test_texts_name_no_machine():
    """No file carries a path of one machine, or the host of a package registry."""
    words = re.compile(r"/work/|/root/\.|/opt/pypi|pypi\.org/simple|registry\.npmjs|deb\.debian\.org|/tmp/bash_jobs")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path != Path(__file__)
        and path.suffix in {".py", ".md", ".toml", ".sh", ".service", ".conf", ".txt", ".yml", ""}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if words.search(line)
    ]
    assert not found, "say it without the machine: " + ", ".join(found)
