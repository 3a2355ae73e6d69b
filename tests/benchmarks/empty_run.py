"""What the installed but unused plugin adds to an empty pytest run: ``python tests/benchmarks/empty_run.py [rounds]``.

Runs pytest on one empty test with the plugin and without it, in turns, and compares CPU seconds: user and system
time of the child process, which other load on the machine disturbs less than the wall clock. Exits 1 above the limit
of 15 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from statistics import median

LIMIT = 0.015


def cpu_seconds(directory: str, *arguments: str) -> float:
    """User and system time of one pytest run. Plugins of other packages are off: they would add noise to both sides."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": directory}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, not in every run
    others = [entry.name for entry in entry_points(group="pytest11") if entry.name != "interp"]
    off = [f"-pno:{name}" for name in (*others, "cacheprovider")]
    command = [sys.executable, "-m", "pytest", "-q", *off, *arguments]
    child = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the empty run failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


def main(rounds: int) -> int:
    """Report both medians and their difference; the first runs, which compile, are not counted."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "test_empty.py").write_text("def test_empty(): pass\n")
        times: dict[str, list[float]] = {"without": [], "with": []}
        for number in range(rounds + 1):
            for name, arguments in (("without", ("-pno:interp",)), ("with", ())):
                seconds = cpu_seconds(directory, *arguments)
                if number:
                    times[name].append(seconds)
    differences = [used - plain for used, plain in zip(times["with"], times["without"], strict=True)]
    added = median(differences)
    print(f"without the plugin {median(times['without']) * 1e3:6.1f} ms CPU (median of {rounds})")
    print(f"with the plugin    {median(times['with']) * 1e3:6.1f} ms")
    print(f"added              {added * 1e3:6.1f} ms (median of paired differences; limit {LIMIT * 1e3:.0f} ms)")
    return int(added > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
