"""Bodies that are small as they are sent and huge when they are unpacked."""

import zlib

_PART_BYTES = 1_000_000


def bomb(size_bytes: int) -> bytes:
    """Zeros in gzip, about a thousandth of their size: one packed part again and again, in no time."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = packer.compress(bytes(_PART_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(bytes(_PART_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + part * (size_bytes // _PART_BYTES - 1)
