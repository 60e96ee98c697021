"""`[playbook.ID]` tables, beyond the golden cases."""

import pytest

from tests.support.rulesets import codes, sound


def playbook(step):
    return f"[playbook.p]\ncontain = [{{ {step} }}]\n"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ('do = "slurm.suspend", job = "1"', []),
        ('do = "slurm.suspend", job = "${event.data.job}"', []),
        ('do = "slurm.suspend", job = 1', ["H006"]),
        ('do = "slurm.suspend"', ["H005"]),
        ('do = "slurm.suspend", job = "1", jobs = 2', ["H004"]),
        ('do = "slurm.suspend", job = "1", grace = "5 s"', ["H008"]),
        ('do = "slurm.suspend", job = "1", grace = "${event.data.grace}"', []),
        ('do = "slurm.suspend", job = "1", signal = 99', ["H007"]),
        ('do = "slurm.suspend", job = "1", signal = "${event.data.signal}"', []),
        ('do = "slurm.suspend", job = "1", nodes = ["${event.data.n}", 3]', ["H006"]),
        ('do = "slurm.suspend", job = "1", labels = { a = "${event.data.n", b = 3 }', ["H025", "H006"]),
        ('do = "slurm.suspend", job = "1", hold = "0s"', ["H007"]),
        ('do = "slurm.suspend", job = "1", timeout = "0s"', ["H007"]),
        ('do = "slurm.suspend", job = "1", retries = -1', ["H007"]),
        ('do = "slurm.suspend", job = "1", on_failure = "retry"', ["H007"]),
        ('do = "slurm.suspend", job = "1", approve = "yes"', ["H006"]),
        ('do = "slurm.suspend", job = "1", when = "event.data.x"', []),
        ('do = "slurm.suspend", job = "1", when = "incident.key"', ["H022"]),
        ('do = "slurm.suspend", job = "${target.name}"', ["H021"]),
        ('do = "file.delete", path = "x", hold = "1h"', ["H050"]),
        ('do = "nope", x = "${1 +}"', ["H012", "H020"]),
        ('job = "1"', ["H005"]),
        ("do = 3", ["H006"]),
    ],
)
def test_a_step_is_checked_against_its_action(step, expected):
    """Parameters as far as they are literal, conditions, holds and what the engine itself reads."""
    assert [code for code in codes(playbook(step)) if code != "H102"] == expected


def test_a_parameter_keeps_its_value_as_written():
    """Durations, numbers, lists and tables arrive as in the file; the action's struct reads them when the step runs."""
    text = playbook('do = "slurm.suspend", job = "1", grace = "5s", signal = 9, nodes = ["a"], labels = { x = "y" }')
    (step,) = sound(text).playbooks["p"].contain
    assert step.params == {"job": "1", "grace": "5s", "signal": 9, "nodes": ["a"], "labels": {"x": "y"}}


def test_steps_are_bounded():
    """A phase of more than a hundred steps is refused."""
    steps = '{ do = "slurm.suspend", job = "1" },' * 101
    assert codes(f"[playbook.p]\ncontain = [{steps}]\n") == ["H003"]
