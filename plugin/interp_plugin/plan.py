"""What a run is to do, worked out from its options before anything is collected: models, suites, node ids pasted on
the command line."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from interp_fixtures.settings import ModelChoice, RunSettings

from .options import Chosen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from interp_suites import Suite

__all__ = ["PLAN", "ROOT", "Plan", "make_plan"]

ROOT = "interp"


@dataclass(frozen=True)
class Plan:
    """The run as it was asked for.

    ``suites`` are collected whole; of ``pasted_suites`` only what ``pasted`` names (``interp::circuits``,
    ``interp::circuits::test_induction`` or a complete node id). ``json`` is where the results go, ``markdown`` the
    report for reviewers, ``history`` the database that the run is appended to, ``baseline`` what is done with the
    baselines in the folder ``baselines``: compare, new, update or off.
    """

    settings: RunSettings
    chosen: Mapping[str, Chosen]
    known_suites: Mapping[str, Suite]
    suites: tuple[Suite, ...] = ()
    pasted_suites: tuple[Suite, ...] = ()
    pasted: tuple[str, ...] = ()
    json: Path | None = None
    markdown: Path | None = None
    history: str | None = None
    baseline: str = "off"
    baselines: Path = Path("interp-baselines")

    @property
    def active(self) -> bool:
        """Whether the run was asked to do anything; a test of the user's that needs ``interp_model`` can still wake
        the plugin."""
        return bool(self.settings.models or self.suites or self.pasted or self.must_collect)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Suites that would run if there were a base to compare with."""
        if self.settings.base is not None or not self.suites:
            return ()
        names = [name.strip() for name in (self.chosen["suites"].value or "all").split(",")]
        return tuple(s.name for s in self.known_suites.values() if s.needs_base and "all" in names)

    @property
    def must_collect(self) -> str | None:
        """The option that makes no sense without a test that uses a model. (An ini file holds for every run, so it is
        none.)"""
        for name in ("model", "suites", "base", "json", "markdown", "history", "baseline"):
            chosen = self.chosen[name]
            if chosen.asked_for_this_run and chosen.value not in ("none", "off"):
                return f"{chosen.source}={','.join(chosen.value) if isinstance(chosen.value, tuple) else chosen.value}"
        return None


PLAN = pytest.StashKey[Plan]()


def make_plan(config: pytest.Config, chosen: Mapping[str, Chosen]) -> Plan:
    """Read models, suites and floors out of the options. Node ids ``interp::...`` are taken out of ``config.args``.

    Raises ``pytest.UsageError`` for unknown suites and checks, and for models and floors that cannot be read.
    """
    pasted = _take_pasted(config)
    known = _known_suites(config)
    models = _models(chosen["model"]) or _models_of_ids(pasted)
    base = _base(chosen["base"])
    pasted_suites = _suites_of_ids(pasted, known, base is not None)
    suites = _suites(config, chosen["suites"], known, bool(models), bool(pasted))
    if base is None:
        _refuse_without_base(chosen["suites"], pasted_suites, known)
        suites = tuple(suite for suite in suites if not suite.needs_base)
    floors = _floors(chosen["floor"], known)
    baselines = config.rootpath / "interp-baselines"
    baseline = chosen["baseline"].value or ("compare" if baselines.is_dir() else "off")
    settings = RunSettings(
        models=models,
        base=base,
        floors=floors,
        coder=_coder(chosen["coder"], config.invocation_params.dir),
        budget=chosen["budget"].value,
        whole_budget=chosen["history"].value is not None or baseline != "off",
        alpha_pass=chosen["alpha-pass"].value,
        alpha_fail=chosen["alpha-fail"].value,
        seed=chosen["seed"].value,
        device=chosen["device"].value,
        dtype=chosen["dtype"].value,
        batch_tokens=chosen["batch-tokens"].value,
        inconclusive=chosen["inconclusive"].value,
        trust_remote_code=chosen["trust-remote-code"].value,
    )
    start = config.invocation_params.dir
    return Plan(
        settings,
        chosen,
        known,
        suites,
        pasted_suites,
        pasted,
        json=_target(chosen["json"], start),
        markdown=_target(chosen["markdown"], start),
        history=chosen["history"].value,
        baseline=baseline,
        baselines=baselines,
    )


def _target(chosen: Chosen, start: Path) -> Path | None:
    """A file that the run writes."""
    return None if chosen.value is None else start / os.path.expanduser(chosen.value)


def _take_pasted(config: pytest.Config) -> tuple[str, ...]:
    """Node ids of virtual items name no file: pytest must not look for one."""
    pasted = tuple(arg for arg in config.args if arg == ROOT or arg.startswith(f"{ROOT}::"))
    pasted = tuple(arg for arg in pasted if "::" in arg or not (config.invocation_params.dir / arg).exists())
    config.args[:] = [arg for arg in config.args if arg not in pasted]
    return pasted


def _known_suites(config: pytest.Config) -> dict[str, Suite]:
    from interp_suites import SHIPPED

    known = {suite.name: suite for suite in SHIPPED}
    for suites in config.hook.pytest_interp_suites(config=config):
        for suite in suites:
            if suite.name in known:
                raise pytest.UsageError(
                    f"two suites have the name {suite.name!r}: {known[suite.name].module} and {suite.module}"
                )
            known[suite.name] = suite
            if suite.module not in sys.modules:
                pytest.register_assert_rewrite(suite.module)
    return known


def _models(chosen: Chosen) -> tuple[ModelChoice, ...]:
    """``zoo:gpt2,org/m@a,@b`` -> zoo:gpt2, org/m@a, org/m@b; a model that is named twice counts once."""
    ids: list[str] = []
    for text in (part.strip() for value in chosen.value for part in value.split(",")):
        if not text:
            raise pytest.UsageError(
                f"{chosen.source}={','.join(chosen.value)}: an empty model id; write zoo:NAME, ./dir or org/name"
            )
        if text.startswith("@"):
            if not ids or "@" not in ids[-1]:
                raise pytest.UsageError(
                    f"{chosen.source}={','.join(chosen.value)}: {text} continues a list of revisions such as "
                    "org/m@a,@b, and no revision comes before it"
                )
            text = ids[-1].rpartition("@")[0] + text
        ids.append(text)
    return _choices(ids)


def _models_of_ids(pasted: Iterable[str]) -> tuple[ModelChoice, ...]:
    """Without ``--interp-model`` a pasted id brings its model along."""
    brackets = (arg.partition("[")[2].removesuffix("]") for arg in pasted)
    return _choices([model for model in brackets if model])


def _choices(ids: list[str]) -> tuple[ModelChoice, ...]:
    if not ids:
        return ()
    from interp_assert.errors import ModelNotFound, UsageProblem
    from interp_assert.models.sources.ids import each_of, parse_id

    try:
        choices = {ModelChoice(id, parse_id(id).id): None for some in ids for id in each_of(some)}
    except (UsageProblem, ModelNotFound) as problem:
        raise pytest.UsageError(str(problem)) from None
    labels: dict[str, str] = {}
    for choice in choices:
        if labels.setdefault(choice.label, choice.id) != choice.id:
            raise pytest.UsageError(
                f"two models have the name {choice.label!r}: {labels[choice.label]} and {choice.id}"
            )
    return tuple(choices)


def _base(chosen: Chosen) -> ModelChoice | None:
    """The one model that ``--interp-base`` names."""
    if chosen.value is None:
        return None
    choices = _choices([chosen.value])
    if len(choices) > 1:
        raise pytest.UsageError(f"{chosen.source}={chosen.value} means {len(choices)} models; name one")
    return choices[0]


def _refuse_without_base(chosen: Chosen, pasted: Iterable[Suite], known: Mapping[str, Suite]) -> None:
    """Raise for a suite that was asked for by its name and has no base to compare with."""
    named = [name.strip() for name in chosen.value.split(",")] if chosen.given else []
    for suite in (*(known[name] for name in named if name in known), *pasted):
        if suite.needs_base:
            raise pytest.UsageError(f"the suite {suite.name} compares with a base model: name it with --interp-base")


def _suites(
    config: pytest.Config, chosen: Chosen, known: Mapping[str, Suite], has_models: bool, has_pasted: bool
) -> tuple[Suite, ...]:
    """The suites to collect whole. ``testpaths`` are not paths on the command line: only ``args_source`` tells them
    apart."""
    default = tuple(suite for suite in known.values() if not suite.by_name_only)
    if not chosen.given:
        paths_given = has_pasted or config.args_source is pytest.Config.ArgsSource.ARGS
        return default if has_models and not paths_given else ()
    names = [name.strip() for name in chosen.value.split(",")]
    if "none" in names and len(names) > 1:
        raise pytest.UsageError(f"{chosen.source}={chosen.value}: none cannot be combined with suites")
    wanted: dict[str, Suite] = {}
    for name in names:
        if name == "all":
            wanted.update((suite.name, suite) for suite in default)
        elif name in known:
            wanted[name] = known[name]
        elif name != "none":
            raise pytest.UsageError(
                f"{chosen.source}={chosen.value}: no suite {name!r}; there are {', '.join(known)}, all and none"
            )
    return tuple(wanted.values())


def _suites_of_ids(pasted: Iterable[str], known: Mapping[str, Suite], has_base: bool) -> tuple[Suite, ...]:
    names = dict.fromkeys(arg.partition("[")[0].split("::")[1] for arg in pasted if "::" in arg)
    for name in names:
        if name not in known:
            raise pytest.UsageError(f"{ROOT}::{name}: no suite {name!r}; there are {', '.join(known)}")
    if ROOT in pasted:
        every = (suite for suite in known.values() if not suite.by_name_only and (has_base or not suite.needs_base))
        names.update((suite.name, None) for suite in every)
    return tuple(known[name] for name in names)


def _coder(chosen: Chosen, start: Path) -> tuple[str | None, Path] | None:
    """``SITE=DIRECTORY``, or a directory that says its site itself."""
    if chosen.value is None:
        return None
    site, _, directory = chosen.value.rpartition("=")
    path = start / os.path.expanduser(directory)
    if not path.is_dir():
        raise pytest.UsageError(f"{chosen.source}={chosen.value}: no directory {directory!r}; write SITE=DIRECTORY")
    return site or None, path


def _floors(chosen: Chosen, known: Mapping[str, Suite]) -> dict[str, float]:
    ranges = {
        check: suite.floors
        for suite in known.values()
        for check in suite.checks
        if suite.floors is not None and check not in suite.no_floor
    }
    floors: dict[str, float] = {}
    for entry in (part.strip() for value in chosen.value for part in value.split(",")):
        check, _, text = entry.partition("=")
        where = f"{chosen.source} {entry}"
        if check.strip() not in ranges:
            raise pytest.UsageError(f"{where}: no check {check.strip()!r}; floors can be set for {', '.join(ranges)}")
        try:
            value = float(text)
        except ValueError:
            raise pytest.UsageError(f"{where}: write {check.strip()}=NUMBER; {text!r} is no number") from None
        lowest, end = ranges[check.strip()]
        if not math.isfinite(value) or not lowest <= value < end:
            raise pytest.UsageError(
                f"{where}: a floor of {check.strip()} is a number of at least {lowest:g} and below {end:g}"
            )
        floors[check.strip()] = value
    return floors
