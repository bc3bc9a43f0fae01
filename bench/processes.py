"""CPU time and memory of processes, from /proc; nothing where there is none."""

import time
from collections.abc import Mapping
from pathlib import Path

from client.local.processor_time import cpu_seconds, family


def memory_mib(pid: int) -> int:
    """What a process and those it started hold now."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total // 1024


class Meter:
    """CPU per operation of several processes, and of this one, over everything between `start` and `stop`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._used = dict.fromkeys((*pids, "bench"), 0.0)
        self._operations = 0
        self._before: dict[str, float] = {}

    def start(self) -> None:
        self._before = self._now()

    def stop(self, operations: int) -> None:
        self._operations += operations
        for name, now in self._now().items():
            self._used[name] += now - self._before[name]

    def per_operation(self) -> dict[str, int]:
        """Microseconds."""
        return {name: round(used * 1e6 / max(1, self._operations)) for name, used in self._used.items()}

    def _now(self) -> dict[str, float]:
        return {**{name: cpu_seconds(pid) for name, pid in self._pids.items()}, "bench": time.process_time()}
