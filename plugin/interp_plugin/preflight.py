"""What is checked once, before any test is collected: that every model can be opened and that the results and
the history can be written."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from interp_fixtures.settings import ModelChoice

from .baselines import check_baselines
from .gate_names import gate_arguments
from .plan import Plan
from .text import printable

__all__ = ["preflight"]


def preflight(config: pytest.Config, plan: Plan) -> None:
    """Raise ``pytest.UsageError``, one line, for a model that cannot be opened, a missing plugin or a file that
    cannot be written."""
    for suite in (*plan.suites, *plan.pasted_suites):
        if suite.needs_plugin and not config.pluginmanager.has_plugin(suite.needs_plugin):
            raise pytest.UsageError(
                f"the suite {suite.name} needs the pytest plugin {suite.needs_plugin!r}, which is not loaded: "
                f"install pytest-{suite.needs_plugin} and do not run with -p no:{suite.needs_plugin}"
            )
    # A gate names its models itself, so the model that stands for none being named is not measured.
    only_gates = not (plan.settings.models or plan.suites or plan.pasted) and bool(gate_arguments(config))
    _models(plan, () if only_gates else plan.settings.under_test)
    if config.getoption("collectonly", False):
        return
    check_baselines(plan)
    if plan.json is not None and plan.markdown is not None and plan.json.resolve() == plan.markdown.resolve():
        raise pytest.UsageError(
            f"{plan.chosen['markdown'].source}={plan.markdown}: the results go to this file; name another"
        )
    for target, name in ((plan.json, "json"), (plan.markdown, "markdown")):
        if target is not None:
            _writable(target, plan.chosen[name].source)
    if plan.history is not None:
        _appendable(plan.history, plan.chosen["history"].source, config.invocation_params.dir)


def _models(plan: Plan, under_test: Sequence[ModelChoice]) -> None:
    from interp_assert import models
    from interp_assert.errors import UsageProblem

    chosen = plan.settings
    try:
        _device_exists(chosen.device)
        for choice in (*under_test, *(() if chosen.base is None else (chosen.base,))):
            models.preflight(
                choice.id, device=chosen.device, dtype=chosen.dtype, trust_remote_code=chosen.trust_remote_code
            )
    except UsageProblem as problem:
        raise pytest.UsageError(printable(" ".join(str(problem).split()))) from None


def _device_exists(device: str | None) -> None:
    """A device other than the CPU can only be looked for with torch, which a run on that device needs anyhow;
    for ``auto`` there is always one."""
    if device in (None, "cpu", "auto"):
        return
    from interp_assert.models.weights.devices import resolve_device

    resolve_device(device)


def _appendable(url: str, source: str, start: Path) -> None:
    from interp_assert.errors import UsageProblem
    from interp_assert.records.history import open_history

    try:
        open_history(url, start).prove_writable()
    except UsageProblem as problem:
        raise pytest.UsageError(printable(f"{source}: {problem}")) from None


def _writable(target: Path, source: str) -> None:
    """Prove it now by a file beside the target, not after an hour of measuring."""
    if target.is_dir():
        raise pytest.UsageError(f"{source}={target}: it is a directory; name a file")
    if target.exists() and not target.is_file():
        # Written in one piece means replaced, which must never happen to /dev/null or a pipe.
        raise pytest.UsageError(f"{source}={target}: it is a device or a pipe; name an ordinary file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise pytest.UsageError(f"{source}={target}: cannot write there: {error.strerror or error}") from None
