"""Which files are gates, by their names, and which of them the command line asks for."""

from __future__ import annotations

TYPE_CHECKING = False  # neither typing nor pytest is imported for it
if TYPE_CHECKING:
    import pytest

__all__ = ["gate_arguments", "is_gate_file"]


def is_gate_file(name: str) -> bool:
    """As ``interp_assert.gates`` has it, which is not imported to know."""
    return name in ("interp.yaml", "interp.yml") or name.endswith((".interp.yaml", ".interp.yml"))


def gate_arguments(config: pytest.Config) -> list[str]:
    """The arguments of the command line that name gate files, or tests of one."""
    return [arg for arg in config.args if is_gate_file(arg.partition("::")[0].replace("\\", "/").rpartition("/")[2])]
