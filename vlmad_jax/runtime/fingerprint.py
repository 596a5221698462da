"""Short names of what something was made of, to tell whether it is the same."""

import hashlib
from collections.abc import Iterable


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """16 hexadecimal digits that change with any of the parts, strings taken as UTF-8.

    >>> fingerprint(["cup", b"lid"])
    '226cd3b5a921e4fd'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part)
    return digest.hexdigest()[:16]
