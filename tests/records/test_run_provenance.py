"""Where a run took place: versions without imports, and the state of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from interp_assert.records import run_provenance
from interp_assert.records.provenance import git_state


class TestProvenance:
    def test_imports_nothing_that_it_names(self) -> None:
        code = (
            "import sys, pathlib, interp_assert.records as r; p = r.run_provenance(pathlib.Path('.'));"
            "assert p['versions']['torch'] and p['platform'];"
            "assert not {'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_says_which_commit_and_whether_it_was_changed(self, tmp_path: Path) -> None:
        assert git_state(tmp_path) is None or "commit" in run_provenance(tmp_path)["git"]
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        (tmp_path / "file").write_text("one")
        for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "first"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
        state = git_state(tmp_path)
        assert state is not None
        assert (len(state["commit"]), state["changed"]) == (40, False)
        (tmp_path / "file").write_text("two")
        assert git_state(tmp_path) == {"commit": state["commit"], "changed": True}
