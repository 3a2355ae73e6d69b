"""What a run leaves behind: the results file. Importing this package imports neither torch, transformers nor numpy."""

from __future__ import annotations

from .provenance import run_provenance
from .results import SCHEMA, Results, model_entry, read_results, write_results

__all__ = ["SCHEMA", "Results", "model_entry", "read_results", "run_provenance", "write_results"]
