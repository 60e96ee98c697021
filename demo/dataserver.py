"""A data store over HTTP: a bearer token and a batch number to a batch of labelled digits. Started by `demo.__main__`.

    python -m demo.dataserver --root DIR --port-file FILE

`DIR/dataset.npz` is what it serves, read anew whenever the file changes, as a store does that takes writes.
`DIR/accepted.sha256` lists the SHA-256 of each token that is let in, one per line, and is read for every request, so
that a token whose line goes is refused (401) from the next request on. The server knows no token itself.
Listens on a free port of 127.0.0.1 and writes the port to FILE once it answers.
"""

import argparse
import asyncio
import hashlib
import hmac
import io
import signal
import zipfile
from pathlib import Path

import numpy as np
from aiohttp import web

BATCH_MAX = 512
"""Samples in one batch."""


class Store:
    """The data set on disk, and who may read it."""

    def __init__(self, root: Path) -> None:
        self._dataset, self._accepted = root / "dataset.npz", root / "accepted.sha256"
        self._stamp: tuple[int, int] | None = None
        self._load()

    def admits(self, token: str) -> bool:
        """Whether the hash of the token is on the list of accepted ones."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        try:
            listed = self._accepted.read_text().split()
        except OSError:
            return False  # no list, no entry
        return any(hmac.compare_digest(digest.encode(), each.lower().encode()) for each in listed)

    def batch(self, step: int, size: int) -> bytes:
        """Batch number `step` as a NumPy archive of `images` and `labels`; each epoch is shuffled by its own seed."""
        self._load()
        per_epoch = max(1, len(self._labels) // size)
        epoch, place = divmod(step, per_epoch)
        chosen = np.random.default_rng(epoch).permutation(len(self._labels))[place * size : (place + 1) * size]
        body = io.BytesIO()
        np.savez(body, images=self._images[chosen], labels=self._labels[chosen])
        return body.getvalue()

    def _load(self) -> None:
        stat = self._dataset.stat()
        if self._stamp == (stat.st_mtime_ns, stat.st_ino):
            return
        with np.load(self._dataset, allow_pickle=False) as archive:
            self._images, self._labels = archive["images"], archive["labels"]
        self._stamp = (stat.st_mtime_ns, stat.st_ino)


def application(store: Store) -> web.Application:
    """The routes: `GET /batch?step=N&size=M` with `Authorization: Bearer TOKEN`."""

    async def batch(request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not store.admits(token.strip()):
            return web.Response(status=401, text="token refused\n", headers={"WWW-Authenticate": "Bearer"})
        try:
            step, size = int(request.query["step"]), int(request.query["size"])
        except (KeyError, ValueError):
            return web.Response(status=400, text="step and size must be numbers\n")
        if step < 0 or not 1 <= size <= BATCH_MAX:
            return web.Response(status=400, text=f"step from 0, size from 1 to {BATCH_MAX}\n")
        try:
            return web.Response(body=store.batch(step, size), content_type="application/octet-stream")
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            return web.Response(status=503, text=f"the data set can't be read: {error}\n")

    served = web.Application()
    served.router.add_get("/batch", batch)
    return served


async def serve(root: Path, port_file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(application(Store(root)), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fresh = port_file.with_suffix(".new")
        fresh.write_text(str(runner.addresses[0][1]))
        fresh.replace(port_file)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.root, arguments.port_file))


if __name__ == "__main__":
    main()
