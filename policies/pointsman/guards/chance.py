"""Draws that a request's id decides: the same in every process and every replay. Standard library only."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["uniform"]


def uniform(request_id: str, purpose: str) -> float:
    """Return a number evenly spread over 0 (included) to 1 (excluded); independent between purposes.

    It is the first 53 bits of BLAKE2b (8 bytes, personalised by the purpose's first 16 bytes) of the id in UTF-8.
    """
    digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, person=purpose.encode()[:16]).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
