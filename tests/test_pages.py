"""engine.pages, over a real socket of the HTTP door: what monitoring reads."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from engine.clock import SystemClock, VirtualClock
from engine.config import HttpConfig, IntakeConfig
from engine.intake.contract import Doors, Inbox
from engine.intake.http import HttpIntake
from engine.operate.sdnotify import SdNotify
from engine.pages import Pages
from engine.readiness import Readiness
from engine.store.errors import StoreBusyOrFull
from tests.support.realparts import free_port
from tests.support.wait import until_async


class Scrape:
    """Metrics of a store that can be read, or can't."""

    def __init__(self, problem=None):
        self.problem = problem

    async def render(self):
        if self.problem:
            raise self.problem
        return b"halon_rules 2.0\n"


def get(paths, *, beaten=True, metrics=True, scrape=None):
    """Status and text of each path."""

    async def scenario():
        clock, inbox = VirtualClock(), Inbox()
        readiness = Readiness(SdNotify(None, clock), "2 rules", clock)
        pages = Pages(readiness)
        pages.scrape = scrape or Scrape()
        config = HttpConfig(port=free_port(), metrics=metrics)
        door = HttpIntake(config, IntakeConfig(), inbox, SystemClock(), pages=pages.by_path(config))
        readiness.doors = Doors([door], inbox)
        task = asyncio.get_running_loop().create_task(door.run(), name="door")
        try:
            await until_async(lambda: door.status().connected, what="the door listens")
            if beaten:
                readiness.beat()
            found = []
            async with aiohttp.ClientSession() as session:
                for path in paths:
                    async with session.get(f"http://127.0.0.1:{config.port}{path}") as answer:
                        found.append((answer.status, await answer.text()))
            return found
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return asyncio.run(scenario())


def test_a_daemon_that_works_says_ok_and_shows_its_metrics():
    """200 for all three, without a secret."""
    assert get(["/healthz", "/readyz", "/metrics"]) == [(200, "ok\n"), (200, "ok\n"), (200, "halon_rules 2.0\n")]


def test_one_that_does_not_yet_is_neither_healthy_nor_ready_and_says_why():
    """503 with the reason until the first beat is durable."""
    assert get(["/healthz", "/readyz"], beaten=False) == [(503, "nothing has become durable yet\n")] * 2


def test_metrics_can_be_kept_from_those_who_reach_the_port():
    """`http.metrics = false` leaves the two others."""
    found = get(["/metrics", "/healthz"], metrics=False)
    assert [status for status, _ in found] == [404, 200]


@pytest.mark.parametrize("path", ["/metrics"])
def test_a_store_that_cannot_be_read_is_an_answer_and_no_crash(path):
    """503 that says so; the next request is served."""
    found = get([path, "/healthz"], scrape=Scrape(StoreBusyOrFull("locked")))
    assert found == [(503, "the store can't be read: locked\n"), (200, "ok\n")]
