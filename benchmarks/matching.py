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
import time

from benchmarks.peers import WORK_A, WORK_B
from benchmarks.rounds import Child, Result, interleaved

SLOW_FROM = {"rule-engine": 1_000, "CEL, rule by rule": 10_000}
"""Peers that go through all rules are left out, and said to be, from that many on: one event takes a while."""


TENTHS_WITHIN_S = 100.0
"""No peer gets longer for its ten stretches."""


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
    found = {name: in_tenths(name, tenth) for name in WORK_B}
    own, reference, peer = (found[name] for name in ("Halon", "reference by hand", "durable-rules post()"))
    if own.missing or reference.missing:
        print(f"missing: {own.missing or reference.missing}")
        sys.exit(1)
    print(f"{own.events:,} events in tenths, events/s (CPU) and memory:\n")
    print("| tenth | " + " | ".join(str(number) for number in range(1, 11)) + " |\n|---|" + "---:|" * 10)
    for name, each in (("Halon", own), ("durable-rules", peer)):
        print(f"| {name} | " + " | ".join(shown(rate) for rate in each.cpu_rates) + " |" * (11 - len(each.cpu_rates)))
        print(f"| {name}, MB | " + " | ".join(f"{mb:.0f}" for mb in each.rss_mb) + " |" * (11 - len(each.rss_mb)))
    print()
    print(f"durable-rules: {compared(own, peer)}\n")
    same = own.matches == reference.matches
    print(
        f"Fired: Halon {own.matches:,}, by hand {reference.matches:,}: {'equal' if same else 'NOT EQUAL'}.\n",
        flush=True,
    )
    if not same:
        sys.exit(1)


def in_tenths(name: str, tenth: int) -> Result:
    """Ten stretches of as many events one after the other, so that what slows down shows; fewer where time runs out."""
    child = Child("b", name, 0, sys.executable)
    until_s = time.monotonic() + TENTHS_WITHIN_S
    while len(child.result.rates) < 10 and not child.result.missing and time.monotonic() < until_s:
        child.round(0, tenth)
    child.close()
    return child.result


def compared(own: Result, peer: Result) -> str:
    """Halon against a peer in the peer's first tenth, and over all the events that both had."""
    if not peer.cpu_rates:
        return f"missing: {peer.missing}"
    common = len(peer.cpu_rates)

    def over(result: Result) -> float:
        """Events per second of processor time over the common tenths."""
        return common / sum(1 / rate for rate in result.cpu_rates[:common])

    ended = "" if not peer.missing else f"; then it {peer.missing}"
    return (
        f"Halon is {own.cpu_rates[0] / peer.cpu_rates[0]:.1f}× (CPU) in its first tenth, "
        f"{over(own) / over(peer):.1f}× over the {common} of 10 tenths that it did{ended}."
    )


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
