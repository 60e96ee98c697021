"""exec.run beyond the contract: what an event puts into a placeholder stays one argument."""

import msgspec
import pytest

from actions.anywhere.exec_run import ExecRunParams
from engine.model import Applied, Unknown
from tests.actions.harness.base import Run, folder
from tests.actions.harness.programs import RunHarness


@pytest.mark.parametrize("value", ["--all", "-rf", "$(reboot)", "a;b", "a\nb", "`x`", "a|b", "", "x" * 300])
def test_an_argument_that_could_be_more_than_a_value_is_refused(value):
    """Options, shell syntax, line ends and overlong texts do not decode."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"command": "block", "arguments": {"key": value}}, ExecRunParams)


def test_an_argument_with_spaces_stays_one_argument():
    """There is no shell that would split it."""
    with folder() as tmp:
        harness = RunHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            run.params = ExecRunParams(command="block", arguments={"key": "a b"})
            assert isinstance(run.apply(run.check()), Applied)
            assert harness.state() == "a b\n"


def test_without_a_verify_program_nothing_is_claimed():
    """The step is applied, and its effect stays unknown."""
    with folder() as tmp:
        harness = RunHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            settings = harness.settings()
            del settings["commands"]["block"]["verify"]
            harness.settings = lambda: settings
            run = Run(harness)
            plan = run.check()
            assert isinstance(run.apply(plan), Applied)
            assert isinstance(run.verify(plan.receipt), Unknown)
