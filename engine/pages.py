"""What monitoring reads over the HTTP port: `/metrics`, `/healthz`, `/readyz`. `engine.app` hands them to the door.

`/healthz` is 200 while the pipeline makes progress: restart the daemon where it is not. `/readyz` is 200 while events
are taken in. Both say why not in a line of text; neither asks the store, so that both answer while it is busy.
"""

from engine.config import HttpConfig
from engine.intake.http import Page
from engine.operate.metrics import CONTENT_TYPE
from engine.operate.scrape import Scrape
from engine.readiness import Readiness
from engine.store.errors import StoreError

_TEXT = "text/plain; charset=utf-8"


class Pages:
    """The pages by path."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self.scrape: Scrape | None = None
        """Set before anything runs."""

    def by_path(self, http: HttpConfig) -> dict[str, Page]:
        """As the HTTP door takes them: `metrics` only where the config has it."""
        pages: dict[str, Page] = {"/healthz": self.health, "/readyz": self.ready}
        return {**pages, "/metrics": self.metrics} if http.metrics else pages

    async def health(self) -> tuple[int, str, bytes]:
        """Whether the pipeline makes progress."""
        return _verdict(self._readiness.health())

    async def ready(self) -> tuple[int, str, bytes]:
        """Whether events are taken in."""
        return _verdict(self._readiness.unready())

    async def metrics(self) -> tuple[int, str, bytes]:
        """Prometheus' text format."""
        assert self.scrape is not None, "set before anything runs"
        try:
            return 200, CONTENT_TYPE, await self.scrape.render()
        except StoreError as error:
            return 503, _TEXT, f"the store can't be read: {error}\n".encode()


def _verdict(problem: str) -> tuple[int, str, bytes]:
    return (503, _TEXT, f"{problem}\n".encode()) if problem else (200, _TEXT, b"ok\n")
