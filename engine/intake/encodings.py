"""The body of a request as it was sent to the body that is meant: gzip and deflate undone, within a bound.

`engine.intake.http` calls it once the bytes as sent are proved, so that a stranger's body is never unpacked; what it
gives is as large as a body may be, whatever stands in the few bytes that came.
"""

import zlib

from engine.intake.httpbody import NotDecoded

ACCEPTED = "gzip, deflate"
"""What `Accept-Encoding` says beside a refusal (RFC 9110, 15.5.16)."""
MEMBERS_MAX = 16
"""Parts of one gzip body, which may be several set one behind the other; few programs send more than one."""
_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_FORMATS = {"identity": None, "gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


def readable(encoding: str) -> bool:
    """Whether `unpacked` can undo what a `Content-Encoding` header says: one encoding, not one upon another."""
    return _name(encoding) in _FORMATS


def unpacked(body: bytes, encoding: str, *, bytes_max: int) -> bytes | NotDecoded:
    """The body without an encoding that is `readable`: status 400 where it is broken, 413 where it is past the bound.

    `deflate` is the zlib format (RFC 9110, 8.4.1.2), not the bare stream that some programs call so.
    """
    name = _name(encoding)
    bits = _FORMATS[name]
    if bits is None:
        return body
    whole, rest = bytearray(), body
    for _ in range(MEMBERS_MAX):
        stream = zlib.decompressobj(bits)
        try:
            # One byte past the bound shows that there is more; no more than that is ever unpacked.
            whole += stream.decompress(rest, bytes_max + 1 - len(whole))
        except zlib.error as error:
            return NotDecoded(400, f"the body is not {name}, as `Content-Encoding` says: {error}")
        if len(whole) > bytes_max:
            return NotDecoded(413, f"the body, unpacked, is larger than {bytes_max} bytes")
        if not stream.eof:
            return NotDecoded(400, f"the body is not whole: its {name} stream has no end")
        rest = stream.unused_data
        if not rest:
            return bytes(whole)
        if bits == _ZLIB:
            return NotDecoded(400, f"{len(rest)} bytes stand behind the end of the deflate stream")
    return NotDecoded(400, f"the body has more than {MEMBERS_MAX} gzip streams")


def _name(encoding: str) -> str:
    return encoding.strip().lower()
