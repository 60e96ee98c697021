"""Writes docs/metrics.md from the registry of metrics and docs/man/halon.1 from the commands. `make docs` runs it.

A test holds both current.
"""

import inspect
import re
from pathlib import Path

import click

from engine.cli.group import COMMANDS
from engine.cli.group import main as halon
from engine.operate.metrics import LABEL_VALUES_MAX, Metrics

ROOT = Path(__file__).resolve().parent.parent
METRICS_PAGE = ROOT / "docs/metrics.md"
MAN_PAGE = ROOT / "docs/man/halon.1"

_METRICS_HEAD = f"""# Metrics

<!-- Generated from the registry by `make docs`; change the texts in engine/operate/metrics.py. -->

With `[http] enabled = true` the daemon serves these at `/metrics` of the HTTP port, in Prometheus' text format, and
`/healthz` and `/readyz` beside them; the control socket has `/metrics` too. Names carry their unit; a counter ends in
`_total`. Gauges are read when they are asked for. A label whose values come from outside takes at most
{LABEL_VALUES_MAX} values, the rest is counted under `other`. Alert rules and a dashboard stand in
`docs/observability/`; what to do about each alert is in [operations](operations.md).

| metric | type | labels | meaning |
|---|---|---|---|
"""


def main() -> None:
    """Writes the pages."""
    METRICS_PAGE.write_text(render_metrics(), encoding="utf-8")
    MAN_PAGE.parent.mkdir(exist_ok=True)
    MAN_PAGE.write_text(render_man(), encoding="utf-8")


def families() -> list[tuple[str, str, tuple[str, ...], str]]:
    """(name as scraped, type, labels, help) of every metric, by name."""
    found = []
    # The registry keeps the labels of a metric to itself
    for collector in set(Metrics().registry._collector_to_names):  # noqa: SLF001
        labels: tuple[str, ...] = getattr(collector, "_labelnames", ())
        for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.append((name, family.type, labels, family.documentation))
    return sorted(found)


def render_metrics() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{each}`' for each in labels) or '-'} | {text} |\n"
        for name, kind, labels, text in families()
    ]
    return _METRICS_HEAD + "".join(rows)


def render_man() -> str:
    """The man page halon(1), in man(7) macros."""
    context = click.Context(halon, info_name="halon", help_option_names=["-h", "--help"])
    lines = [
        '.\\" Generated from the commands by `make docs`.',
        '.TH HALON 1 "" "halon" "Halon"',
        ".SH NAME",
        "halon \\- automatic fire suppression for AI infrastructure",
        ".SH SYNOPSIS",
        ".B halon",
        "\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *_prose(halon.help or ""),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = halon.get_command(context, name)
        assert command is not None
        lines += _command(click.Context(command, info_name=name, parent=context), command, f"halon {name}")
    lines += [
        ".SH FILES",
        *_entry("/etc/halon/config.toml", "The configuration; ./config.toml is taken first where it exists."),
        *_entry("/etc/halon/rules", "Rule files and their tests."),
        *_entry("/run/halon/control.sock", "Where the commands reach the daemon; members of the group halon may."),
        *_entry("/var/lib/halon", "State: incidents, leases, the audit log, evidence."),
        ".SH EXIT STATUS",
        "0 done, 1 findings or not done, 2 usage or bad config.",
        ".SH SEE ALSO",
        "/opt/halon/share/doc/operations.md, /opt/halon/share/doc/rules.md",
    ]
    return "\n".join(lines) + "\n"


def _command(context: click.Context, command: click.Command, title: str) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f".SS {_plain(title)} {_plain(usage)}".rstrip(), *_prose(command.help or "")]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            lines += _entry(*record)
    if command.epilog:
        lines += [".PP", *_prose(command.epilog)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            lines += _command(click.Context(inner, info_name=name, parent=context), inner, f"{title} {name}")
    return lines


def _prose(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        kept = paragraph.startswith("\b")
        body = [each.strip() if not kept else each for each in paragraph.replace("\b", "").strip("\n").splitlines()]
        lines += [".nf", *map(_plain, body), ".fi"] if kept else [_plain(" ".join(body))]
        lines.append(".PP")
    return lines[:-1]


def _entry(term: str, text: str) -> list[str]:
    return [".TP", f"\\fB{_plain(term)}\\fR", _plain(" ".join(text.split()))]


def _plain(text: str) -> str:
    """Text that troff takes as it stands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


if __name__ == "__main__":
    main()
