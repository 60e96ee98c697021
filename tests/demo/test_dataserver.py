"""demo/dataserver.py over real HTTP on loopback: who is let in, what is served, what happens when either changes."""

import asyncio
import hashlib
import io
from collections import Counter

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from demo import site
from demo.dataserver import Store, application


def ask(stage, *requests):
    """The (status, body) of each request; a callable among them is called in between."""

    async def talk():
        runner = web.AppRunner(application(Store(stage.store)), access_log=None)
        await runner.setup()
        answers = []
        try:
            tcp = web.TCPSite(runner, "127.0.0.1", 0)
            await tcp.start()
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as session:
                for request in requests:
                    if callable(request):
                        request()
                        continue
                    path, headers = request
                    async with session.get(base + path, headers=headers) as response:
                        answers.append((response.status, await response.read()))
        finally:
            await runner.cleanup()
        return answers

    return asyncio.run(talk())


@pytest.fixture
def stage(tmp_path):
    return site.prepare(tmp_path / "demo")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_only_an_accepted_token_is_let_in(stage):
    """401 without a token, with a wrong one, with another scheme; 200 with the one whose hash is listed."""
    token = stage.token_file.read_text().strip()
    path = "/batch?step=0&size=4"
    answers = ask(
        stage, (path, {}), (path, bearer("wrong")), (path, {"Authorization": f"Basic {token}"}), (path, bearer(token))
    )
    assert [status for status, _ in answers] == [401, 401, 401, 200]


def test_a_token_is_refused_from_the_request_after_its_hash_is_gone(stage):
    """Rotating the hashes file ends the old token and lets the new one in, with no restart."""
    token, path = stage.token_file.read_text().strip(), "/batch?step=0&size=4"

    def rotate():
        stage.accepted.write_text(hashlib.sha256(b"fresh").hexdigest() + "  # rotated\n")

    answers = ask(stage, (path, bearer(token)), rotate, (path, bearer(token)), (path, bearer("fresh")))
    assert [status for status, _ in answers] == [200, 401, 200]


def test_a_batch_is_the_same_each_time_and_an_epoch_holds_no_sample_twice(stage):
    """Batches are a shuffle of the stored data: repeatable and disjoint."""
    token = bearer(stage.token_file.read_text().strip())
    size = 200
    answers = ask(stage, *[(f"/batch?step={step}&size={size}", token) for step in (0, 0, *range(1, 7))])
    batches = [np.load(io.BytesIO(body))["images"] for _, body in answers]
    assert np.array_equal(batches[0], batches[1])
    with np.load(stage.dataset) as archive:
        stored = Counter(map(bytes, archive["images"]))
    served = Counter(bytes(image) for batch in batches[1:] for image in batch)
    assert served.total() == 7 * size
    assert served <= stored


def test_changed_data_is_served_from_the_next_batch_on(stage):
    """The attack is on the stored data; the server hands it out as it is, labels and all."""
    token = bearer(stage.token_file.read_text().strip())
    answers = ask(
        stage, ("/batch?step=0&size=100", token), lambda: site.poison(stage), ("/batch?step=0&size=100", token)
    )
    before, after = (np.load(io.BytesIO(body)) for _, body in answers)
    assert np.array_equal(before["images"], after["images"])
    assert 30 < np.count_nonzero(before["labels"] != after["labels"]) < 70


@pytest.mark.parametrize(
    "query", ["", "?step=1", "?step=x&size=4", "?step=-1&size=4", "?step=0&size=0", "?step=0&size=513"]
)
def test_a_request_that_makes_no_sense_is_refused(stage, query):
    """400 with what is wrong."""
    ((status, body),) = ask(stage, (f"/batch{query}", bearer(stage.token_file.read_text().strip())))
    assert status == 400
    assert b"step" in body
