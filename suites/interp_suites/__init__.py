"""The ready-made test suites, and the list of them that the plugin reads. Importing this package imports nothing
else."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

__all__ = ["SHIPPED", "Suite"]


@dataclass(frozen=True)
class Suite:
    """A module of tests that is collected by name, wherever it is installed: its items are ``interp::NAME::test_...``.

    ``module`` is its dotted name; ``checks`` are the ids of the claims that it decides, as ``--interp-floor`` takes
    them (a suite that lists none decides nothing: it measures), and ``floors`` the range of a floor: at least the
    first number, below the second, or None for claims that have none, as have those of ``no_floor``. Of ``limits`` the
    number is an upper limit, without which those of ``must_have_limit`` claim nothing; ``sites`` can be told where to
    look (``interp_site``). A gate file holds claims one by one: for it ``suite/claim`` is decided by ``test_claim``.

    ``by_name_only`` leaves the suite out unless ``--interp-suites`` names it; ``needs_plugin`` is a pytest plugin
    without which it cannot run, and one that ``needs_base`` is left out without ``--interp-base``.
    """

    name: str
    module: str
    checks: tuple[str, ...] = ()
    floors: tuple[float, float] | None = (-inf, inf)
    no_floor: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    must_have_limit: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    by_name_only: bool = False
    needs_plugin: str | None = None
    needs_base: bool = False


_PROBES = ("probes/truth", "probes/sentiment", "probes/tense", "probes/number")
_DRIFT = ("drift/claims", "drift/output", "drift/text", "drift/residual", "drift/weights")
_ANATOMY = (
    "determinism",
    "batch_invariance",
    "causality",
    "chain",
    "blocks",
    "sums",
    "readout",
    "write_back",
    "self_patch",
    "attention",
    "overwriting",
    "foreign_rows",
    "padding",
    "cache_stepping",
)

SHIPPED = (
    Suite("circuits", "interp_suites.test_circuits", checks=("circuits/induction",), floors=(0.0, 1.0)),
    Suite("lens", "interp_suites.test_lens", checks=("lens/crossover",), floors=(0.0, 1.0)),
    Suite(
        "coders",
        "interp_suites.test_coders",
        checks=("coders/variance_explained",),
        floors=(0.0, 1.0),
        sites=("coders/variance_explained",),
    ),
    Suite(
        "controls",
        "interp_suites.test_controls",
        checks=("controls/permuted_weights", "controls/kept_embeddings", "controls/steering"),
        floors=(0.0, 1.0),
        no_floor=("controls/permuted_weights", "controls/kept_embeddings"),
    ),
    Suite(
        "probes",
        "interp_suites.test_probes",
        checks=_PROBES,
        floors=(0.0, 1.0),
        sites=_PROBES,
    ),
    Suite(
        "drift",
        "interp_suites.test_drift",
        checks=_DRIFT,
        floors=(0.0, 1.0),
        limits=_DRIFT,
        must_have_limit=_DRIFT[1:],
        needs_base=True,
    ),
    Suite(
        "anatomy",
        "interp_suites.test_anatomy",
        checks=tuple(f"anatomy/{name}" for name in _ANATOMY),
        floors=None,
        by_name_only=True,  # it asks about a model's code more than about its weights, and costs several hundred passes
    ),
    Suite("backends", "interp_suites.test_backends", by_name_only=True),
    Suite("profile", "interp_suites.test_profile", by_name_only=True),
    Suite("timing", "interp_suites.test_timing", by_name_only=True, needs_plugin="benchmark"),
)
