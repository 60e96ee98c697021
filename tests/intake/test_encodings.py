"""engine.intake.encodings: compressed bodies undone, within a bound. What the door makes of it is in test_http."""

import gzip
import tracemalloc
import zlib

import pytest

from engine.intake.encodings import ACCEPTED, MEMBERS_MAX, readable, unpacked
from engine.intake.httpbody import NotDecoded
from tests.support.bombs import bomb

BODY = b'{"a": "' + bytes(range(32, 127)) * 40 + b'"}'
PACKED = {"identity": BODY, "gzip": gzip.compress(BODY), "x-gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}


@pytest.mark.parametrize("encoding", PACKED)
def test_a_body_is_what_it_was_before_it_was_packed(encoding):
    """In each encoding, however it is written; the bound itself is allowed, one byte less is not."""
    assert readable(encoding)
    for name in (encoding, f" {encoding.upper()} "):
        assert unpacked(PACKED[encoding], name, bytes_max=len(BODY)) == BODY
    if encoding != "identity":
        assert unpacked(PACKED[encoding], encoding, bytes_max=len(BODY) - 1).status == 413


@pytest.mark.parametrize("encoding", ["br", "zstd", "snappy", "gzip, gzip", "identity, gzip", "", "gzip;q=1"])
def test_no_other_encoding_is_read(encoding):
    """One upon another neither: it is how a bomb hides a bomb."""
    assert not readable(encoding)
    assert all(readable(each) for each in ACCEPTED.split(", "))


def test_several_gzip_streams_are_one_body():
    """As RFC 1952 has it; their number is bounded, since each costs a copy of the rest."""
    part = gzip.compress(b"ab")
    assert unpacked(part * MEMBERS_MAX, "gzip", bytes_max=2 * MEMBERS_MAX) == b"ab" * MEMBERS_MAX
    assert unpacked(part * 2, "gzip", bytes_max=3) == NotDecoded(413, "the body, unpacked, is larger than 3 bytes")
    many = unpacked(part * (MEMBERS_MAX + 1), "gzip", bytes_max=1_000)
    assert many == NotDecoded(400, f"the body has more than {MEMBERS_MAX} gzip streams")


BROKEN = {
    "nothing": (b"", "gzip", "the body is not whole"),
    "no gzip": (b"{}", "gzip", "the body is not gzip, as `Content-Encoding` says: "),
    "zlib called gzip": (PACKED["deflate"], "gzip", "the body is not gzip"),
    "gzip called deflate": (PACKED["gzip"], "deflate", "the body is not deflate"),
    "a bare stream": (PACKED["deflate"][2:-4], "deflate", "the body is not deflate"),
    "a wrong checksum": (PACKED["gzip"][:-8] + b"\0\0\0\0" + PACKED["gzip"][-4:], "gzip", "the body is not gzip"),
    "something behind gzip": (PACKED["gzip"] + b"{}", "gzip", "the body is not gzip"),
    "something behind deflate": (PACKED["deflate"] + b"{}", "deflate", "2 bytes stand behind the end"),
}


@pytest.mark.parametrize(("body", "encoding", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_body_is_refused_with_the_reason(body, encoding, reason):
    """Nothing of it is taken, not even what could be unpacked."""
    found = unpacked(body, encoding, bytes_max=100_000)
    assert isinstance(found, NotDecoded)
    assert found.status == 400
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_stream_that_is_cut_anywhere_is_not_whole(encoding):
    """Wherever it ends, in its head, its middle or its checksum."""
    whole = PACKED[encoding]
    for end in range(len(whole)):
        assert unpacked(whole[:end], encoding, bytes_max=100_000).status == 400, end


def test_a_bomb_is_unpacked_no_further_than_the_bound():
    """A gigabyte in a megabyte: found too large with about as much memory as a body may take."""
    packed, limit = bomb(1_000_000_000), 1_048_576
    assert len(packed) <= limit
    assert len(zlib.decompressobj(31).decompress(packed, 10 * limit)) == 10 * limit, "it is no bomb"
    tracemalloc.start()
    try:
        found = unpacked(packed, "gzip", bytes_max=limit)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.status == 413
    assert peak_bytes < 6 * limit
