"""The matching benchmark: Work A and Work B with peers side by side, as Markdown tables on stdout.

    python -m benchmarks.matching            # 10, 100 and 1,000 rules
    python -m benchmarks.matching --full     # 10,000 rules too, a million events of Work B

`make bench` calls it in an environment that has the peers. Rates are medians of interleaved rounds. `wall` is what the
clock says, on a machine that may do other things; `CPU` is events per second of processor time of the peer's process.
"""

import argparse
import os
import platform
import sys

from benchmarks.peers import WORK_A, WORK_B
from benchmarks.rounds import Child, Result, interleaved

SLOW_FROM = {"rule-engine": 1_000, "CEL, rule by rule": 10_000}
"""Peers that go through all rules are left out, and said to be, from that many on: one event takes a while."""


def shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"


def median(rates: list[float]) -> float:
    return sorted(rates)[len(rates) // 2] if rates else 0.0


def table(results: list[Result]) -> None:
    own = next((each for each in results if each.name == "Halon"), None)
    print("| | events/s (wall) | rounds | events/s (CPU) | Halon is (wall) | Halon is (CPU) | matches |")
    print("|---|---:|---|---:|---:|---:|---:|")
    for each in results:
        if each.missing:
            print(f"| {each.name} | missing: {each.missing} | | | | | |")
            continue
        cpu = median(each.cpu_rates)
        ratios = ["", ""]
        if own is not None and own.rates and each is not own:
            ratios = [f"{own.rate / each.rate:.2f}×", f"{median(own.cpu_rates) / cpu:.2f}×"]
        share = f"{each.matches / each.events:.2%}" if each.events else ""
        print(
            f"| {each.name} | {shown(each.rate)} | {each.spread} | {shown(cpu)} | {ratios[0]} | {ratios[1]} | {share} |"
        )
    print(flush=True)


def work_a(sizes: list[int], rounds: int, seconds: float) -> None:
    scaling = []
    for rules in sizes:
        print(f"### Work A, {rules:,} rules\n")
        names = [name for name in WORK_A if rules < SLOW_FROM.get(name, 10**9)]
        results = interleaved("a", names, rules, rounds=rounds, seconds=seconds)
        table(results)
        for name in WORK_A:
            if name not in names:
                print(f"{name}: left out at {rules:,} rules, where it takes a while per event.\n")
        scaling += [each for each in results if each.name == "Halon"]
        print(f"Halon loaded them in {scaling[-1].load_s:.1f} s (wall).\n")
    print("### Work A, Halon alone by the number of rules, in turns\n")
    children = [Child("a", "Halon", rules, sys.executable) for rules in sizes]
    for number in range(2 * rounds + 1):
        for child in children:
            child.round(seconds)
            if number == 0:
                child.result.rates.clear()
                child.result.cpu_rates.clear()
    print("| rules | events/s (wall) | rounds | events/s (CPU) | of the first (wall) | of the first (CPU) | memory |")
    print("|---:|---:|---|---:|---:|---:|---:|")
    first = children[0].result
    for rules, child in zip(sizes, children, strict=True):
        found = child.result
        cpu = median(found.cpu_rates)
        shares = f"{found.rate / first.rate:.0%} | {cpu / median(first.cpu_rates):.0%}"
        print(
            f"| {rules:,} | {shown(found.rate)} | {found.spread} | {shown(cpu)} | {shares} "
            f"| {found.rss_mb[-1]:.0f} MB |"
        )
        child.close()
    print(flush=True)


def work_b(events: int, rounds: int, seconds: float) -> None:
    print("### Work B: bursts and sequences of 1,000 keys\n")
    table(interleaved("b", list(WORK_B), 0, rounds=rounds, seconds=seconds))
    tenth = events // 10
    answers = []
    for name in ("Halon", "reference by hand"):
        child = Child("b", name, 0, sys.executable)
        for _ in range(10):
            child.round(0, tenth)
        answers.append(child.result)
        child.close()
    own, reference = answers
    if own.missing or reference.missing:
        print(f"missing: {own.missing or reference.missing}")
        sys.exit(1)
    print(f"{own.events:,} events in tenths, events/s (CPU) and memory of Halon:\n")
    print("| tenth | " + " | ".join(str(number) for number in range(1, 11)) + " |\n|---|" + "---:|" * 10)
    print("| events/s | " + " | ".join(shown(rate) for rate in own.cpu_rates) + " |")
    print("| MB | " + " | ".join(f"{each:.0f}" for each in own.rss_mb) + " |\n")
    same = own.matches == reference.matches
    print(
        f"Fired: Halon {own.matches:,}, by hand {reference.matches:,}: {'equal' if same else 'NOT EQUAL'}.\n",
        flush=True,
    )
    if not same:
        sys.exit(1)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--full", action="store_true")
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--seconds", type=float, default=1.0, help="of each peer's turn in a round")
    chosen = reader.parse_args()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} processors, load {load} at start, Python {platform.python_version()}; "
          f"median of {chosen.rounds} rounds of {chosen.seconds} s each.\n")  # fmt: skip
    work_a([10, 100, 1_000, 10_000] if chosen.full else [10, 100, 1_000], chosen.rounds, chosen.seconds)
    work_b(1_000_000 if chosen.full else 100_000, chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
