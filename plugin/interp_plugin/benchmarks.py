"""Facts about the run for the JSON files of pytest-benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gathering import Gathering

__all__ = ["BenchmarkFacts"]


class BenchmarkFacts:
    """Registered only if pytest-benchmark is loaded, whose hook this is; called once, when it writes its file."""

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        models = {label: facts["sha256"] for label, facts in self.gathering.models.items()}
        output_json["interp"] = {**self.gathering.provenance(), "models": models}
