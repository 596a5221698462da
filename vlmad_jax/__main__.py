"""`python -m vlmad_jax` is the command `vlmad`."""

import sys

from vlmad_jax.commands.console import main

sys.exit(main())
