"""The `ledgerline` command with chunks so small that a full load of some thousand documents has
many of them. In a module, since its workers import it too.
"""

from __future__ import annotations

from loaders import snapshot
from orchestration.cli import main

snapshot.CHUNK_BYTES = 64 * 1024

if __name__ == "__main__":
    main()
