"""What the entry points share: flags that several take, and errors without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from absl import app, logging

from vlmad_jax.errors import InputError


def main(run: Callable[[], None]) -> None:
    """Parses the flags and calls `run`; bad input is one line on stderr and exit code 1."""

    def guarded(arguments: list[str]) -> None:
        logging.set_verbosity(logging.WARNING)  # orbax and grain tell of every file they touch
        try:
            if len(arguments) > 1:
                raise InputError(f"{arguments[1]!r} is not a flag; flags are written --name=value")
            run()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted; what is done is kept", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)
