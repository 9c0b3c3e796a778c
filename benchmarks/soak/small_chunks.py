"""The `ledgerline` command with chunks so small that a full load of some thousand documents has
many of them, and with a word when its imports are done, which take longer than such a load.

A module, since a load's workers import it too.
"""

from __future__ import annotations

import loaders.cli  # noqa: F401 -- the command imports it late
from benchmarks.soak.loads import BEGUN
from loaders import snapshot
from orchestration.cli import main

snapshot.CHUNK_BYTES = 64 * 1024

if __name__ == "__main__":
    print(BEGUN, flush=True)
    main()
