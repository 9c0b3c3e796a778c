"""What the machine has, and the server settings that follow from it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

GB = 1024  # in MB


@dataclass(frozen=True)
class Machine:
    """Memory, cores and disk that this process may use; sizes in MB."""

    memory: int
    cores: int
    disk: int
    shared_memory: int  # of /dev/shm, which containers often limit to 64 MB

    @classmethod
    def measure(cls, folder: Path) -> Machine:
        """Measure the machine, or the container's share of it; `folder` names the disk."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        for limit in (
            Path("/sys/fs/cgroup/memory.max"),
            Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        ):
            if limit.exists() and (text := limit.read_text().strip()).isdigit():
                memory = min(memory, int(text) // 2**20)
        shm = Path("/dev/shm")  # noqa: S108 - only its size is read
        return cls(
            memory=memory,
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
            disk=shutil.disk_usage(folder).free // 2**20,
            shared_memory=shutil.disk_usage(shm).free // 2**20 if shm.is_dir() else 0,
        )

    def postgres_configuration(self, port: int) -> str:
        """postgresql.conf for a warehouse that shares the machine with everything else.

        Own changes belong in `alter system`, which wins over this file and survives it.
        """
        lines = {
            "listen_addresses": "'127.0.0.1'",
            "port": port,
            "unix_socket_directories": "''",
            "password_encryption": "scram-sha-256",
            "max_connections": 100,
            # A quarter of memory; more than 1 GB gains nothing at sizes that a sandbox holds, and
            # each backend that touches them counts shared pages as its own.
            "shared_buffers": f"{_clamp(self.memory // 4, 64, 1 * GB)}MB",
            "effective_cache_size": f"{max(128, self.memory // 2)}MB",
            # per sort or hash and process: 4 dbt threads with workers hold a dozen at once
            "work_mem": f"{_clamp(self.memory // 64, 8, 64)}MB",
            "maintenance_work_mem": f"{_clamp(self.memory // 16, 64, 512)}MB",
            "max_worker_processes": self.cores + 8,
            "max_parallel_workers": self.cores,
            "max_parallel_workers_per_gather": _clamp(self.cores // 2, 1, 4),
            "max_parallel_maintenance_workers": _clamp(self.cores // 2, 1, 4),
            "jit": "off",  # compiling costs more than it saves in statements of some seconds
            "random_page_cost": 1.1,
            # large rebuilds in few checkpoints, but never more than a tenth of what is free
            "max_wal_size": f"{_clamp(self.disk // 10, 256, 4 * GB)}MB",
            "min_wal_size": f"{_clamp(self.disk // 50, 80, 512)}MB",
            "checkpoint_timeout": "15min",
            "wal_level": "replica",
            "synchronous_commit": "on",
            "dynamic_shared_memory_type": "posix" if self.shared_memory >= 512 else "mmap",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
            "datestyle": "'iso, ymd'",
            "lc_messages": "'C'",
            "default_text_search_config": "'pg_catalog.english'",
            "log_line_prefix": "'%m [%p] %q%u@%d '",
            "log_checkpoints": "off",
        }
        head = "# Written by `make up` at every start; own changes: `alter system set …`.\n"
        return head + "".join(f"{name} = {value}\n" for name, value in lines.items())

    def mongodb_cache(self) -> str:
        """WiredTiger's cache: a sixteenth of memory, 256 to 512 MB.

        The process itself takes up to twice as much besides; a 1 GB cache was no faster.
        """
        return f"{_clamp(self.memory // 16, 256, 512)}M"


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
