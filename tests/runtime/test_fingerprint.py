"""Fingerprints keep their values, or the results of earlier runs would be refused."""

import doctest
import hashlib

from vlmad_jax.runtime import fingerprint


def test_example():
    assert doctest.testmod(fingerprint).failed == 0


def test_parts_are_taken_as_one():
    assert (
        fingerprint.fingerprint(["größe", b"\0\xff"])
        == hashlib.sha256("größe".encode() + b"\0\xff").hexdigest()[:16]
    )
