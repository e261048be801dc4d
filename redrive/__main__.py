"""``python -m redrive``: the command line."""

import sys

# `python -m` puts the working directory first, where a host's own `models` or `worker` may lie.
if not sys.flags.safe_path:
    del sys.path[0]

from .cli import main

if __name__ == "__main__":
    main()
