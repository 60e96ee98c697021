"""The nftables table `inet halon`: made, filled and read back through the `nft` program, each change one transaction.

Its chains stand before everything else on input, output and forward. They pass the allow-list, answer TCP of what is
isolated with a reset, which ends connections at once, and drop the rest. Used by `nftables.isolate`.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Sequence
from typing import Any

from actions.support import TargetError, run

TABLE = "inet halon"
_CHAINS = ("input", "output", "forward")
_PRIORITY = -350  # before connection tracking (-200) and every filter (0): established connections are judged too
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def element(address: Address, port: int | None, protocol: str) -> tuple[str, str]:
    """The set that holds the isolation of an address, or of one port of it, and the element in it."""
    if port is None:
        return f"hosts{address.version}", str(address)
    return f"ports{address.version}", f"{address} . {protocol} . {port}"


def base_script(allow: Sequence[Network]) -> str:
    """The table with its sets, chains and rules, whatever was there of it before; elements that isolate stay."""
    lines = [f"add table {TABLE}"]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        lines += [
            f"add set {TABLE} allow{version} {{ type {kind}; flags interval; auto-merge; }}",
            f"add set {TABLE} hosts{version} {{ type {kind}; }}",
            f"add set {TABLE} ports{version} {{ type {kind} . inet_proto . inet_service; }}",
            f"flush set {TABLE} allow{version}",
        ]
        members = ", ".join(str(each) for each in allow if each.version == version)
        lines += [f"add element {TABLE} allow{version} {{ {members} }}"] if members else []
    for chain in _CHAINS:
        lines.append(f"add chain {TABLE} {chain} {{ type filter hook {chain} priority {_PRIORITY}; policy accept; }}")
        lines.append(f"flush chain {TABLE} {chain}")
        lines += [f'add rule {TABLE} {chain} {rule} comment "halon"' for rule in _rules(chain)]
    return "\n".join(lines) + "\n"


def _rules(chain: str) -> list[str]:
    # The resets that this table itself sends leave by the output hook, in the name of what is isolated.
    rules = ["tcp flags & rst == rst accept"] if chain == "output" else []
    for version, ip in ((4, "ip"), (6, "ip6")):
        rules += [f"{ip} {side} @allow{version} accept" for side in ("saddr", "daddr")]
        for match in (
            f"{ip} saddr @hosts{version}",
            f"{ip} daddr @hosts{version}",
            f"{ip} saddr . meta l4proto . th sport @ports{version}",
            f"{ip} daddr . meta l4proto . th dport @ports{version}",
        ):
            rules += [f"{match} meta l4proto tcp reject with tcp reset", f"{match} drop"]
    return rules


async def change(script: str, netns: str) -> None:
    """Carries out a script as one transaction. Raises TargetError."""
    code, _, err = await run([*_prefix(netns), "nft", "-f", "-"], stdin=script.encode())
    if code:
        raise TargetError(f"nft refused the change: {_first_line(err)}; halond needs CAP_NET_ADMIN")


async def read(netns: str) -> dict[str, dict[str, str]] | None:
    """Set name to its elements (with the comment of each); None where table, chains or rules are not whole."""
    code, out, err = await run([*_prefix(netns), "nft", "-j", "list", "table", *TABLE.split()])
    if code and b"No such file or directory" in err and b"namespace" not in err:
        return None
    if code:
        raise TargetError(f"nft can't list the table: {_first_line(err)}; halond needs CAP_NET_ADMIN")
    items = json.loads(out)["nftables"]
    chains = {each["chain"]["name"]: each["chain"] for each in items if "chain" in each}
    rules = [each["rule"] for each in items if "rule" in each]
    for chain in _CHAINS:
        ours = [each for each in rules if each["chain"] == chain and each.get("comment") == "halon"]
        if chains.get(chain, {}).get("hook") != chain or len(ours) != len(_rules(chain)):
            return None
    return {each["set"]["name"]: dict(map(_element, each["set"].get("elem", []))) for each in items if "set" in each}


def _element(raw: Any) -> tuple[str, str]:
    value, comment = raw, ""
    if isinstance(raw, dict) and "elem" in raw:
        value, comment = raw["elem"]["val"], raw["elem"].get("comment", "")
    if isinstance(value, dict) and "concat" in value:
        value = " . ".join(str(each) for each in value["concat"])
    return str(value), comment


async def is_own(address: Address) -> bool:
    """Whether the address is one of this machine: only then a socket can be bound to it."""

    def bind() -> bool:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((str(address), 0))
            except OSError:
                return False
            return True

    return await asyncio.to_thread(bind)


def _prefix(netns: str) -> list[str]:
    return ["ip", "netns", "exec", netns] if netns else []


def _first_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().partition("\n")[0][:300]
