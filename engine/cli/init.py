"""`halon init DIR`: a first rule with its test, to change and grow from."""
# ruff: noqa: E501  # the lines of the files that are written

from pathlib import Path

import click

from engine.cli.output import say
from engine.cli.setup import Failure

_RULE = """\
# A first rule: three slow answers of one model within a minute open an incident. docs/rules.md has the whole language.

[signal.slow-answers]
on     = "inference.request"                # the CloudEvents type
where  = "event.data.latency_ms > 2000"     # CEL; a missing field is a visible fault, never a silent false
by     = { model = "event.subject" }        # one window per model
detect = { method = "count", at_least = 3, within = "1m" }

[rule.slow-model]
title    = "A model answers slowly"
incident = "performance-anomaly"
severity = "high"
by       = ["model"]
when     = { all = ["slow-answers"] }
playbook = "keep-the-log"

[playbook.keep-the-log]
investigate = [{ do = "evidence.capture", paths = ["${event.data.log}"] }]
"""
_TEST = """\
# What the rule beside this file should do, on a virtual timeline: one case in which it fires, one in which it does not.

[test.three-slow-answers-fire]
events = [
  { at = "0s", repeat = 3, every = "10s", type = "inference.request", subject = "m-1", data = { latency_ms = 2500, log = "/srv/m-1.log" } },
]
expect = [{ at = "20s", incident = "performance-anomaly", key = { model = "m-1" } }]

[test.a-fast-model-is-left-alone]
events = [
  { at = "0s", repeat = 100, every = "1s", type = "inference.request", subject = "m-1", data = { latency_ms = 40, log = "/srv/m-1.log" } },
]
expect = []
"""
FILES = {"slow-model.toml": _RULE, "slow-model.test.toml": _TEST}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Write a first rule with its test into FOLDER; nothing that is there is overwritten."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise Failure(f"{folder / there[0]} is there already, and is left as it is: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"can't write to {folder}: {error.strerror}") from error
    for name in FILES:
        say(f"wrote {folder / name}", "green")
    say(f"\nnext: `halon check {folder}`, then `halon test {folder}`")
