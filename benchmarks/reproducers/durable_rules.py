"""Reproducers of what keeps durable-rules 2.0.28 from being the matching core; prints a table of what was seen.

    python -m venv /tmp/durable && /tmp/durable/bin/pip install durable_rules==2.0.28     # needs a C compiler
    /tmp/durable/bin/python benchmarks/reproducers/durable_rules.py

Each case runs in a process of its own, because some of them kill it. A case's last printed line is its observation; the
table says how the process ended. Exit status 0 when every case shows what docs/decisions.md says, 1 otherwise.
"""

import json
import signal
import subprocess
import sys
import textwrap

TIMEOUT_S = 30

CASES: dict[str, tuple[str, str, str]] = {
    "a float below 1e-4 loses the event": (
        """
        seen = []
        with ruleset("r"):
            @when_all(m.kind == "x")
            def hit(c): seen.append(c.m.kind)
        post("r", {"kind": "x", "v": 0.5})
        try: post("r", {"kind": "x", "v": 0.00005})
        except BaseException as error: print(type(error).__name__, str(error)[:60])
        print("matched", len(seen), "of 2")
        """,
        "output",
        "matched 1 of 2",
    ),
    "the string 'n/a' is greater than 0.9": (
        """
        seen = []
        with ruleset("r"):
            @when_all(m.score > 0.9)
            def hit(c): seen.append(c.m.score)
        try: post("r", {"score": "n/a"})
        except BaseException as error: print(type(error).__name__)
        print("matched", seen)
        """,
        "output",
        "matched ['n/a']",
    ),
    "the 1,025th value of `sid` is refused for ever": (
        """
        with ruleset("r"):
            @when_all(m.kind == "x")
            def hit(c): pass
        for n in range(1100):
            try: post("r", {"kind": "x", "sid": str(n)})
            except BaseException as error:
                print(n, type(error).__name__)
                break
        """,
        "output",
        "1024 MemoryError",
    ),
    "an event list [{}] crashes": (
        """
        with ruleset("r"):
            @when_all(m.kind == "x")
            def hit(c): pass
        post_batch("r", [{}])
        print("survived")
        """,
        "crash",
        "",
    ),
    "256 rules of one condition crash": (
        """
        def make(n):
            @when_all(m.kind == "x")
            def hit(c): pass
        with ruleset("r"):
            for n in range(256): make(n)
        post("r", {"kind": "x"})
        print("survived")
        """,
        "crash",
        "",
    ),
    "513 rules that differ in a constant hang while loading": (
        """
        def make(n):
            @when_all(m.model == "m%d" % n)
            def hit(c): pass
        with ruleset("r"):
            for n in range(513): make(n)
        try: post("r", {"model": "m1"})
        except BaseException as error: print(type(error).__name__)
        print("survived")
        """,
        "hang or crash",
        "",
    ),
}

PREAMBLE = "from durable.lang import *\n"


def run_case(source: str) -> tuple[str, str]:
    """How the process ended (`exit 0`, `SIGSEGV`, `hang`), and its last line."""
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "hang", ""
    lines = done.stdout.strip().splitlines()
    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
    return ended, lines[-1] if lines else ""


def main() -> int:
    """Run every case; print what was expected and seen."""
    wrong = 0
    for title, (source, expected, text) in CASES.items():
        ended, line = run_case(source)
        shown = {
            "output": line == text,
            "crash": ended.startswith("SIG"),
            "hang or crash": ended == "hang" or ended.startswith("SIG"),
        }[expected]
        wrong += not shown
        verdict = "as said  " if shown else "OTHERWISE"
        print(f"{verdict}  {title}: {ended}{'; ' + json.dumps(line) if line else ''}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
