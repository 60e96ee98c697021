"""engine.clock: durations, RFC 3339 times, and a clock that moves only when told to."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import (
    DURATION_MAX_US,
    SECOND_US,
    TIME_MAX_US,
    Duration,
    SystemClock,
    VirtualClock,
    decode_hook,
    format_duration,
    format_time,
    parse_duration_us,
    parse_time_us,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0)],
)
def test_a_duration_is_numbers_with_units(text, seconds):
    """Each unit, and several in a row, give the microseconds they say."""
    assert parse_duration_us(text) == seconds * SECOND_US


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5m ", "5w", "1e3s", "٥m", "5m5", "99999d", "5M"])
def test_what_is_not_a_duration_is_refused_with_the_text_named(text):
    """Anything else is a ValueError that quotes what was written."""
    with pytest.raises(ValueError, match=r"duration|longer than ten years"):
        parse_duration_us(text)


@given(st.integers(0, DURATION_MAX_US // 1000).map(lambda ms: ms * 1000))
def test_a_formatted_duration_reads_back_as_itself(duration_us):
    """format_duration and parse_duration_us are inverse on whole milliseconds."""
    assert parse_duration_us(format_duration(duration_us)) == duration_us


@given(st.integers(0, TIME_MAX_US))
def test_a_formatted_time_reads_back_as_itself(time_us):
    """format_time and parse_time_us are inverse, to the microsecond, from 1970 to 9999."""
    assert parse_time_us(format_time(time_us)) == time_us


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01t00:00:01.5z", 1_500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1969-12-31T23:59:59Z", -SECOND_US),
    ],
)
def test_rfc_3339_times_are_read(text, time_us):
    """Offsets, lower case, and fractions finer than a microsecond are understood."""
    assert parse_time_us(text) == time_us


def read(text):
    try:
        return parse_time_us(text)
    except ValueError:
        return None


@given(
    st.from_regex(
        r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9_+ ²٣]{0,8})?", fullmatch=True
    )
)
def test_the_quick_way_to_read_a_time_agrees_with_the_careful_one(text):
    """The common form, `Z` at the end, is read without the repairs; another way to write the same zone is not."""
    assert read(f"{text}Z") == read(f"{text}+00:00")


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "20260101T000000Z"]
)
def test_what_is_not_rfc_3339_is_refused(text):
    """Dates without time or zone, and impossible ones, are ValueErrors."""
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_time_us(text)


def test_the_decode_hook_reads_durations_only_from_text():
    """A number without a unit is refused, so that nobody means minutes and gets seconds."""
    assert decode_hook(Duration, "5m") == 300 * SECOND_US
    with pytest.raises(ValueError, match="expected a duration"):
        decode_hook(Duration, 5)


def test_a_virtual_clock_wakes_sleepers_in_order_at_their_own_deadlines():
    """Each sleeper sees the time it asked for, though the clock is advanced in one go."""
    woken = []

    async def sleeper(clock, name, seconds):
        await clock.sleep_s(seconds)
        woken.append((name, clock.now_us()))

    async def scenario():
        clock = VirtualClock(start_us=0)
        async with asyncio.TaskGroup() as group:
            for name, seconds in [("late", 2.0), ("early", 1.0), ("at once", 0)]:
                group.create_task(sleeper(clock, name, seconds), name=name)
            await clock.advance_s(1.5)
            assert woken == [("at once", 0), ("early", SECOND_US)]
            await clock.advance_s(0.5)
        return clock.now_us()

    assert asyncio.run(scenario()) == 2 * SECOND_US
    assert woken[-1] == ("late", 2 * SECOND_US)


def test_the_system_clock_measures_in_microseconds():
    """Its wall clock stands in this century and its monotonic clock does not run backwards."""
    clock = SystemClock()
    assert 1_700_000_000 < clock.now_us() / SECOND_US < 4_000_000_000
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_a_jump_of_the_machines_clock_is_shown_when_it_is_followed(monkeypatch):
    """Until then time goes on as before; a step of some seconds and sleep are the passing of time."""
    now = {"wall": 1_000 * SECOND_US, "passed": 50 * SECOND_US}
    monkeypatch.setattr("engine.clock._wall_us", lambda: now["wall"])
    monkeypatch.setattr("engine.clock._passed_us", lambda: now["passed"])

    def move(wall_s, passed_s):
        now["wall"] += wall_s * SECOND_US
        now["passed"] += passed_s * SECOND_US

    clock = SystemClock()
    move(3_600, 3_600)
    assert (clock.now_us(), clock.jump_us()) == (4_600 * SECOND_US, 0)
    move(4, 0)
    assert (clock.now_us(), clock.jump_us()) == (4_604 * SECOND_US, 0)
    move(3_600, 0)
    move(2, 2)
    assert (clock.now_us(), clock.jump_us()) == (4_606 * SECOND_US, 3_600 * SECOND_US)
    clock.follow(clock.jump_us())
    assert (clock.now_us(), clock.jump_us()) == (8_206 * SECOND_US, 0)
    move(-3_600, 1)
    assert clock.now_us() == 8_207 * SECOND_US
    assert clock.jump_us() == -3_601 * SECOND_US
    clock.follow(clock.jump_us())
    assert clock.now_us() == now["wall"]
