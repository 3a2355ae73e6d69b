"""What becomes of the output when nobody reads it to its end, or it cannot be written."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
from records.documents import WHOLE

from interp_assert.records import Results, write_results

RUN = [sys.executable, "-c", "import sys; from interp_assert.cli import main; sys.exit(main())", "zoo", "show", "gpt2"]


def test_a_reader_that_has_seen_enough_is_no_traceback() -> None:
    with subprocess.Popen(RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(RUN, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "interp-assert: standard output: No space left on device\n")


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    document["checks"][0]["model"] = "zoo:\u00fc\u2603"
    write_results(Results.from_dict(document), tmp_path / "r.json")
    command = [*RUN[:3], "results", "markdown", str(tmp_path / "r.json")]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| `zoo:\\xfc\\u2603` | `a/b` | FAIL |" in done.stdout
