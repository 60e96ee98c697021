"""What the demonstration shows fits a terminal of 80 columns."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from demo.screen import Screen
from engine.model import IntentId, IntentState, Phase, Verdict
from engine.operate.shown import Station, StepView

START = datetime(2026, 1, 1, 12, 34, 56, tzinfo=UTC)
WAY = {"received": 0.0, "matched": 2.9, "durable": 8.7, "applying": 1022.7, "applied": 1051.4, "verified": 12068.5}


def step(place, action, state):
    """A step that went all the way, or stopped at its beginning."""
    way = WAY if state is IntentState.VERIFIED else {"received": 0.0, "matched": 2.9}
    return StepView(
        intent=IntentId("i"),
        phase=Phase.CONTAIN,
        place=place,
        action=action,
        params={},
        verdict=Verdict.ENFORCE,
        state=state,
        decided=START,
        stations=tuple(
            Station(name=name, at=START + timedelta(milliseconds=after), after_ms=after) for name, after in way.items()
        ),
    )


def test_every_latency_is_readable_at_80_columns():
    """Nothing is cut: each station of each step stands there with its time, and no line is wider than the terminal."""
    out = io.StringIO()
    screen = Screen(Console(file=out, width=80, highlight=False))
    screen.latencies(
        [
            step("contain[0]", "process.freeze", IntentState.VERIFIED),
            step("investigate[0]", "evidence.capture", IntentState.HELD),
            step("contain[1]", "slurm.suspend", IntentState.SKIPPED),
            step("contain[2]", "kubernetes.suspend-job", IntentState.SKIPPED),
        ]
    )
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    first = " ".join(text.split("investigate[0]")[0].split())
    assert first == (
        "contain[0] process.freeze verified received 12:34:56 → matched +2.9 → durable +8.7"
        " → applying +1022.7 → applied +1051.4 → verified +12068.5 ms"
    )
    assert "investigate[0]  evidence.capture  held" in text
    assert "left out" in text
    assert "slurm.suspend, kubernetes.suspend-job" in " ".join(text.split())
