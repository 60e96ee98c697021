"""The one place that reads the time; everything else is handed microseconds since the Unix epoch.

Times are `int` microseconds (`*_us`): exact to add and compare, and native to SQLite. `Clock` is what the rim
receives; the core receives plain numbers. `VirtualClock` drives replay, rule tests and the test suite.
"""

import asyncio
import heapq
import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS_US = {"ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US, "d": 86_400 * SECOND_US}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)

TIME_MIN_US = 0
"""1970-01-01, the earliest time an event may carry."""
TIME_MAX_US = 253_402_300_799 * SECOND_US
"""9999-12-31T23:59:59Z, the latest time RFC 3339 can write."""
DURATION_MAX_US = 3_660 * 86_400 * SECOND_US
"""Ten years: a longer duration in a rule file is taken for a slip of the pen."""


class Duration(int):
    """A length of time in microseconds, written `"5m"` in files; see `decode_hook`."""


class PositiveDuration(Duration):
    """A Duration longer than zero."""


def decode_hook(wanted: type, value: object) -> object:
    """`dec_hook` for msgspec: a text such as `"5m"` to a Duration. Raises ValueError with what is allowed."""
    if issubclass(wanted, Duration):
        if not isinstance(value, str):
            raise ValueError(f'expected a duration such as `"5m"`, got {type(value).__name__}')  # noqa: TRY004  # as documented
        length = wanted(parse_duration_us(value))
        if length == 0 and wanted is PositiveDuration:
            raise ValueError("must be longer than zero")
        return length
    raise NotImplementedError(f"no decoder for {wanted}")


def encode_hook(value: object) -> object:
    """`enc_hook` for msgspec: a Duration as the plain number of microseconds that it is."""
    if isinstance(value, Duration):
        return int(value)
    raise NotImplementedError(f"no encoder for {type(value)}")


class Clock(Protocol):
    """Wall-clock time, and a way to wait for it."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never running backwards: for measuring latencies."""
        ...

    def jump_us(self) -> int:
        """By how much the machine's clock was set since it was followed last; `now_us` does not show that yet."""
        ...

    def follow(self, jump_us: int) -> None:
        """Let `now_us` show a jump from now on."""
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Return once `seconds` have passed on this clock."""
        ...


JUMP_US = 5 * SECOND_US
"""A machine's clock that is set by more than this jumped; less is followed as time that passed."""


class SystemClock:
    """The machine's clock, but for jumps: it goes on as if there had been none, until someone follows them.

    That someone (`engine.clockwatch`) first moves everything along that was to happen at a time. Time in which the
    machine slept did pass and is no jump.
    """

    def __init__(self) -> None:
        self._ahead_us = _wall_us() - _passed_us()
        """The clock's time less what passed since the machine started."""

    def now_us(self) -> int:
        now_us, passed_us = _wall_us(), _passed_us()
        if abs(now_us - passed_us - self._ahead_us) <= JUMP_US:
            self._ahead_us = now_us - passed_us
            return now_us
        return passed_us + self._ahead_us

    def jump_us(self) -> int:
        ahead_us = _wall_us() - _passed_us() - self._ahead_us
        return ahead_us if abs(ahead_us) > JUMP_US else 0

    def follow(self, jump_us: int) -> None:
        self._ahead_us += jump_us

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep_s(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that moves only when told to: `advance_s` wakes its sleepers in the order of their deadlines."""

    def __init__(self, start_us: int = 1_767_225_600 * SECOND_US) -> None:
        self._now_us = start_us
        self._set_us = self._jump_us = 0
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []
        self._order = 0

    def now_us(self) -> int:
        return self._now_us + self._set_us

    def jump_us(self) -> int:
        return self._jump_us

    def follow(self, jump_us: int) -> None:
        self._jump_us -= jump_us
        self._set_us += jump_us

    def jump_s(self, seconds: float) -> None:
        """Someone sets the clock, and no time passes."""
        self._jump_us += round(seconds * SECOND_US)

    def monotonic_s(self) -> float:
        return self._now_us / SECOND_US

    async def sleep_s(self, seconds: float) -> None:
        due_us = self._now_us + round(max(0.0, seconds) * SECOND_US)
        if due_us <= self._now_us:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._order += 1
        heapq.heappush(self._sleepers, (due_us, self._order, woken))
        await woken.wait()

    async def advance_s(self, seconds: float) -> None:
        """Move time forward by `seconds`, letting each sleeper run at its own deadline."""
        end_us = self._now_us + round(seconds * SECOND_US)
        while True:
            await _settle()
            if not self._sleepers or self._sleepers[0][0] > end_us:
                break
            due_us, _, woken = heapq.heappop(self._sleepers)
            self._now_us = max(self._now_us, due_us)
            woken.set()
        self._now_us = end_us
        await _settle()


def _wall_us() -> int:
    return time.time_ns() // 1_000


def _passed_us() -> int:
    """What passed since the machine started, the time in which it slept included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


async def _settle() -> None:
    """Let every task that is ready run until it waits again."""
    for _ in range(20):
        await asyncio.sleep(0)


def parse_duration_us(text: str) -> int:
    """`"1h30m"` to microseconds; units ms, s, m, h, d. Raises ValueError with what is allowed."""
    if not _DURATION.fullmatch(text):
        raise ValueError(
            f"`{text}` is not a duration; write a number and a unit, as in `500ms`, `30s`, `5m`, `2h`, `1d`"
        )
    total = sum(round(float(number) * _UNITS_US[unit]) for number, unit in _PART.findall(text))
    if total > DURATION_MAX_US:
        raise ValueError(f"`{text}` is longer than ten years")
    return total


@lru_cache(maxsize=1_024)
def format_duration(duration_us: int) -> str:
    """Microseconds to the shortest exact text that `parse_duration_us` reads back; zero is `0s`."""
    if duration_us == 0:
        return "0s"
    rest, parts = duration_us, []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{rest / 1_000:g}ms")
    return "".join(parts)


def parse_time_us(text: str) -> int:
    """An RFC 3339 time stamp to microseconds since the epoch; finer digits are cut off. Raises ValueError."""
    # Most events are in UTC, share their second with others and have three digits of a fraction or none: both are kept.
    second_us, fraction_us = SECONDS_US.get(text[:19]), FRACTIONS_US.get(text[19:])
    return _parse_time_us(text) if second_us is None or fraction_us is None else second_us + fraction_us


def _parse_time_us(text: str) -> int:
    """The same for a text of which not both halves are known; keeps what is worth it."""
    second_us = _second_us(text[:19])
    if second_us is not None:
        fraction_us = _fraction_us(text[19:])
        if fraction_us is not None:
            return second_us + fraction_us
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", text):
        raise ValueError(f"`{text[:64]}` is not an RFC 3339 time stamp such as 2026-01-01T00:00:00Z")
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("z", "Z").replace("t", "T"))
    try:
        stamp = datetime.fromisoformat(cut)
    except ValueError as error:
        raise ValueError(f"`{text[:64]}` is not an RFC 3339 time stamp: {error}") from None
    if stamp.tzinfo is None:
        raise ValueError(f"`{text[:64]}` has no time zone; RFC 3339 asks for `Z` or an offset")
    return (stamp - _EPOCH) // timedelta(microseconds=1)


SECONDS_US: dict[str, int] = {}
"""`2026-01-01T00:00:00` in UTC, from TIME_MIN_US to the second before TIME_MAX_US, to microseconds: the latest seen."""
_SECONDS_MAX = 4_096
FRACTIONS_US: dict[str, int] = {"Z": 0}
"""`.250Z` to microseconds, of one to three digits: there are 1,110. Of finer ones there are too many to keep."""


def _second_us(text: str) -> int | None:
    """`2026-01-01T00:00:00` in UTC to microseconds, None for any other text."""
    second_us = SECONDS_US.get(text)
    if second_us is not None:
        return second_us
    if not _SECOND.fullmatch(text):
        return None
    try:
        second_us = (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
    except ValueError:
        return None  # the 31st of June
    if TIME_MIN_US <= second_us < TIME_MAX_US:
        if len(SECONDS_US) >= _SECONDS_MAX:
            SECONDS_US.clear()
        SECONDS_US[text] = second_us
    return second_us


def _fraction_us(text: str) -> int | None:
    """`Z` or `.25Z` to microseconds, None for any other text."""
    digits = text[1:-1]
    if text[:1] == "." and text[-1] == "Z" and len(digits) <= 6 and digits.isdigit() and digits.isascii():
        fraction_us = int(digits.ljust(6, "0"))
        if len(digits) <= 3:
            FRACTIONS_US[text] = fraction_us
        return fraction_us
    return 0 if text == "Z" else None


def to_datetime(time_us: int) -> datetime:
    """Microseconds since the epoch to an aware UTC datetime, clamped to what RFC 3339 can write."""
    return _EPOCH + timedelta(microseconds=min(max(time_us, TIME_MIN_US), TIME_MAX_US))


def to_us(stamp: datetime) -> int:
    """An aware datetime to microseconds since the epoch: what `to_datetime` turned into it."""
    return (stamp - _EPOCH) // timedelta(microseconds=1)


def format_time(time_us: int) -> str:
    """Microseconds since the epoch to RFC 3339 in UTC, with a fraction only where there is one."""
    stamp = to_datetime(time_us)
    text = stamp.strftime("%Y-%m-%dT%H:%M:%S") if stamp.year >= 1000 else stamp.isoformat()[:19]
    fraction = f".{stamp.microsecond:06d}".rstrip("0") if stamp.microsecond else ""
    return f"{text}{fraction}Z"
