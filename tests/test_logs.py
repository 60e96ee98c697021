"""Log lines as the journal gets them."""

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from engine import logs
from engine.clock import SECOND_US, VirtualClock, format_time
from engine.logs import SIGNAL_LINES_PER_S_MAX, DecisionLog, get_logger, setup
from engine.model import Applied, Fault, Refused, Secret
from tests.support.stored import FREEZE, INCIDENT, LEASE, ROTATE, START_US


@pytest.fixture
def out():
    """The stream that is logged to; afterwards logging is as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out):
    """What was logged, decoded."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_can_be_followed_to_its_outcome_by_ids(out):
    """Signal, incident, intent, outcome and lease lines are linked: event → incident → intent → lease."""
    clock = VirtualClock(START_US)
    setup(stream=out, clock=clock)
    log = DecisionLog(clock)
    for signal in INCIDENT.signals:
        log.signal(signal)
    log.incident(INCIDENT)
    log.intent(FREEZE)
    log.outcome(FREEZE, Applied(receipt={}), verified=True, latency_us=16_500)
    log.lease(LEASE, "taken")
    signal, incident, intent, outcome, lease = lines(out)[1:]
    assert signal["event_id"] == incident["event_id"] == "evt-321"
    assert incident["incident"] == intent["incident"] == outcome["incident"] == lease["incidents"][0]
    assert intent["intent"] == outcome["intent"] == lease["intent"]
    assert (outcome["outcome"], outcome["verified"], outcome["latency_ms"]) == ("applied", True, 16.5)
    assert {each["time"] for each in lines(out)} == {format_time(START_US)}


def test_what_is_not_verified_is_a_warning(out):
    """A refused step, and one that was applied but not read back, stand out."""
    setup(stream=out)
    log = DecisionLog(VirtualClock())
    log.outcome(ROTATE, Refused(reason="protected"), verified=False)
    log.outcome(FREEZE, Applied(receipt={}), verified=False)
    assert [(each["level"], each["verified"]) for each in lines(out)] == [("warning", False)] * 2


def test_a_flood_of_signals_does_not_flood_the_journal(out):
    """Past the limit per second lines are left out, and the next one says how many."""
    clock = VirtualClock(START_US)
    setup(stream=out, clock=clock)
    log = DecisionLog(clock)
    fault = Fault(owner="signal.x", field="where", reason="no such key", at_us=START_US)
    for _ in range(1_000):
        log.signal(INCIDENT.signals[0])
        log.fault(fault)
    assert len(lines(out)) == 2 * SIGNAL_LINES_PER_S_MAX
    clock._now_us += SECOND_US
    log.signal(INCIDENT.signals[0])
    assert lines(out)[-1]["left_out"] == 1_000 - SIGNAL_LINES_PER_S_MAX


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_never_reaches_the_log(out, log_format):
    """Not as a value, not nested, not in a struct's repr, not through the standard library's loggers."""
    setup(log_format=log_format, stream=out)
    secret = Secret("hunter2")
    get_logger("halon.test").info("a", token=secret, nested={"deep": [{"token": secret}]}, text=f"{secret} {secret!r}")
    logging.getLogger("other").warning("b %s %r", secret, secret, extra={"token": secret})
    try:
        int(f"{secret}")
    except ValueError:
        get_logger("halon.test").exception("c")
    assert "hunter2" not in out.getvalue()
    assert out.getvalue().count("***") >= 7


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_any_value_can_be_logged(out, log_format):
    """Lone surrogates, control characters, big numbers, objects, cycles and long texts are no reason to fail."""
    setup(log_format=log_format, stream=out)
    cycle = []
    cycle.append(cycle)
    values = ["\ud800", "\x1b[31m\n", 2**70, float("nan"), object(), cycle, {1: b"x"}, INCIDENT, "y" * 100_000, None]
    for value in values:
        get_logger("halon.test").info("value", value=value)
    text = out.getvalue()
    assert text.count("value") >= len(values)
    assert "100000 characters" in text
    assert len(text) < 40_000
    if log_format == "json":
        assert len(lines(out)) == len(values)


def test_the_standard_librarys_loggers_come_out_the_same_way(out):
    """aiohttp and aiomqtt log through `logging`: one JSON line each, with logger and level; tracebacks are a field."""
    setup(stream=out)
    logging.getLogger("aiomqtt").warning("lost %s", "connection")
    try:
        Path("/nowhere/at/all").read_text()
    except OSError:
        logging.getLogger("aiohttp.server").exception("failed")
    lost, failed = lines(out)
    assert (lost["event"], lost["level"], lost["logger"]) == ("lost connection", "warning", "aiomqtt")
    assert "FileNotFoundError: " in failed["exception"]


def test_levels_hold_per_module(out):
    """`levels` opens one logger without opening all; the last set-up holds alone."""
    setup(stream=io.StringIO())
    setup("warning", stream=out, levels={"halon.mqtt": "debug"})
    get_logger("halon.core").info("quiet")
    get_logger("halon.mqtt").debug("heard")
    assert [each["event"] for each in lines(out)] == ["heard"]
    logging.getLogger("halon.mqtt").setLevel(logging.NOTSET)


def test_a_terminal_gets_colour_and_a_pipe_json(out, monkeypatch):
    """`auto` follows what standard error is."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    setup()
    get_logger("halon.test").info("seen")
    assert "\x1b[" in terminal.getvalue()
    setup(stream=out)
    get_logger("halon.test").info("seen")
    assert lines(out)[0]["event"] == "seen"
    assert logs.TEXT_CHARS_MAX > 0


def test_a_part_has_a_level_of_its_own_until_the_next_set_up(out):
    """What lies below the name follows it; a later set-up without it takes it back."""
    setup("warning", stream=out, levels={"halon.intake": "debug"})
    for name in ("halon.intake", "halon.intake.http", "halon.pipeline"):
        get_logger(name).debug("said")
    assert [line["logger"] for line in lines(out)] == ["halon.intake", "halon.intake.http"]
    setup("warning", stream=out)
    get_logger("halon.intake").info("not said")
    assert len(lines(out)) == 2
