"""From the entries of a gate file to the gate that is run: which claims about which models, held how."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path as FilePath
from typing import Any

from ..errors import InterpError
from .false_alarms import shares
from .file_names import name_of
from .gate import Gate, GateClaim, GateModel, KnownSuite, Waiver
from .naming import coder_directory, each_model, named_model
from .reading import Written, did_you_mean, key_of, quoted
from .schema import ClaimEntry, ModelEntry
from .strict_yaml import Path

__all__ = ["resolve"]

LONGEST_WAIVER = timedelta(days=366)


def resolve(written: Written, suites: Mapping[str, KnownSuite], folder: FilePath, today: date) -> Gate:
    """The gate of a file in ``folder``, for the suites that there are.

    Raises ``GateProblem`` for what is unknown, named twice, contradictory, out of range or expired.
    """
    return _Resolving(written, suites, folder, today).gate()


class _Resolving:
    def __init__(self, written: Written, suites: Mapping[str, KnownSuite], folder: FilePath, today: date) -> None:
        self.written = written
        self.entries = written.entries
        self.folder = folder
        self.today = today
        self.suites = suites
        self.deciding = {name: suite for name, suite in suites.items() if suite.checks}
        self.suite_of = {check: suite for suite in self.deciding.values() for check in suite.checks}
        self.labels: dict[str, int] = {}

    def gate(self) -> Gate:
        self._look_at_suites(self.entries.suites, ("suites",))
        self._look_at_claims(self.entries.claims, ("claims",))
        models = [model for place in range(len(self.entries.models)) for model in self._models(place)]
        waivers = self._waivers({model["label"]: model for model in models})
        able = [
            None
            for model in models
            for check, entry in model["claims"].items()
            if not entry.advisory and (model["label"], check) not in waivers
        ]
        made = tuple(self._model(model, waivers, len(able)) for model in models)
        written = self.written
        return Gate(
            name=self.entries.name or name_of(written.shown),
            shown=written.shown,
            sha256=hashlib.sha256(written.content).hexdigest(),
            description=self.entries.description,
            false_alarms=self.entries.false_alarms,
            seed=self.entries.seed,
            models=made,
            places={model["label"]: self._place(("models", model["place"])) for model in models},
            lines={model["label"]: written.document.place_of(("models", model["place"])).line for model in models},
        )

    def _models(self, place: int) -> list[dict[str, Any]]:
        """What one entry stands for, each with its claims by check."""
        entry, at = self.entries.models[place], ("models", place)
        self._look_at_suites(entry.suites or [], (*at, "suites"))
        self._look_at_claims(entry.claims, (*at, "claims"))
        try:
            named = each_model(entry, self.folder)
        except InterpError as problem:
            raise self.written.problem((*at, "id"), str(problem)) from None
        if entry.sha256 is not None and len(named) > 1:
            told = f"one sha256 cannot be that of {len(named)} models; give each an entry of its own"
            raise self.written.problem((*at, "sha256"), told)
        claims = self._claims(entry, at)
        self._look_at_what_is_used(entry, claims, at)
        base = self._beside(named_model, entry.base, (*at, "base"))
        coder = self._beside(coder_directory, entry.coder, (*at, "coder"))
        common = {"place": place, "base": base, "coder": coder, "sha256": entry.sha256, "claims": claims}
        return [{"id": id, "label": self._unique(label, place), **common} for id, label in named]

    def _beside(self, meant: Callable[[str, FilePath], Any], text: str | None, at: Path) -> Any:
        """What a text means, relative to the file's folder; None for none."""
        try:
            return None if text is None else meant(text, self.folder)
        except InterpError as problem:
            raise self.written.problem(at, str(problem)) from None

    def _claims(self, entry: ModelEntry, at: Path) -> dict[str, ClaimEntry]:
        named = {**self.entries.claims, **entry.claims}
        whole = self.entries.suites if entry.suites is None else entry.suites
        checks = dict.fromkeys(check for suite in whole for check in self.deciding[suite].checks)
        # A suite stands for what can be held without being told a limit, and for what has one.
        left_out = [check for check in checks if check in self.suite_of[check].must_have_limit and check not in named]
        wanted = [check for check in dict.fromkeys((*checks, *named)) if check not in left_out]
        if not wanted:
            raise self.written.problem(
                at, f"nothing is claimed of it; name suites ({', '.join(self.deciding)}), or claims"
            )
        made = {check: self._merged(check, entry, at) for check in wanted}
        if all(claim.advisory for claim in made.values()):
            raise self.written.problem(at, "every claim about it is advisory, so nothing can stop its release")
        return made

    def _merged(self, check: str, entry: ModelEntry, at: Path) -> ClaimEntry:
        """The model's own settings of a claim over the gate's; the two are looked at together."""
        settings: dict[str, Any] = {}
        places: dict[str, Path] = {}
        for claims, path in ((self.entries.claims, ("claims",)), (entry.claims, (*at, "claims"))):
            if check in claims:
                for name in claims[check].model_fields_set:
                    settings[name], places[name] = getattr(claims[check], name), (*path, check, name)
        if "floor" in settings and "limit" in settings:
            raise self.written.problem(places["limit"], f"{check} has a floor, too; it can have one of them")
        self._look_at_settings(check, settings, places, at)
        return ClaimEntry.model_construct(_fields_set=set(settings), **settings)

    def _look_at_settings(self, check: str, settings: Mapping[str, Any], places: Mapping[str, Path], at: Path) -> None:
        suite = self.suite_of[check]
        given = "limit" if "limit" in settings else "floor"
        wanted = "limit" if check in suite.limits else "floor"
        if given in settings:
            value, range_ = settings[given], suite.floors
            if range_ is None or check in suite.no_floor:
                raise self.written.problem(places[given], f"{check} takes no {given}; remove it")
            if given != wanted:
                better = "lower" if wanted == "limit" else "higher"
                raise self.written.problem(places[given], f"of {check} {better} is better; write {wanted}: {value:g}")
            if not range_[0] <= value < range_[1]:
                told = f"a {given} of {check} is a number of at least {range_[0]:g} and below {range_[1]:g}"
                raise self.written.problem(places[given], f"{told}, not {value:g}")
        elif check in suite.must_have_limit:
            path = next(
                (p for p in ((*at, "claims", check), ("claims", check)) if p in self.written.document.places), at
            )
            raise self.written.problem(path, f"{check} is held below a limit of yours; write limit: 0.1, say")
        if "site" in settings and check not in suite.sites:
            sites = [check for suite in self.deciding.values() for check in suite.sites]
            raise self.written.problem(places["site"], f"{check} takes no site; these do: {', '.join(sites)}")

    def _look_at_suites(self, named: list[str], at: Path) -> None:
        for place, name in enumerate(named):
            if name in self.suites and name not in self.deciding:
                told = f"the suite {name} lists no checks, so a gate cannot hold it"
                raise self.written.problem((*at, place), f"{told}; there are {', '.join(self.deciding)}")
            if name not in self.suites:
                raise self.written.problem((*at, place), f"no suite {quoted(name)}{did_you_mean(name, self.deciding)}")
            if name in named[:place]:
                raise self.written.problem((*at, place), f"the suite {name} is named twice")

    def _look_at_claims(self, claims: Mapping[str, ClaimEntry], at: Path) -> None:
        for check in claims:
            if check not in self.suite_of:
                told = f"no check {quoted(check)}{did_you_mean(check, self.suite_of)}"
                if check in self.deciding:
                    checks = ", ".join(self.deciding[check].checks)
                    told = f"{check} is a suite; write suites: [{check}], or one of its checks: {checks}"
                raise self.written.problem((*at, check), told)

    def _look_at_what_is_used(self, entry: ModelEntry, claims: Mapping[str, ClaimEntry], at: Path) -> None:
        with_base = [check for check in claims if self.suite_of[check].needs_base]
        if with_base and entry.base is None:
            raise self.written.problem(at, f"{with_base[0]} compares with a base model; write base: ID")
        if entry.base is not None and not with_base:
            drift = [suite.name for suite in self.deciding.values() if suite.needs_base]
            raise self.written.problem((*at, "base"), f"no claim compares with it; add the suite {', '.join(drift)}")
        if entry.coder is not None and not any(self.suite_of[check].name == "coders" for check in claims):
            raise self.written.problem((*at, "coder"), "no claim is about it; add the suite coders")

    def _unique(self, label: str, place: int) -> str:
        if label in self.labels:
            told = f"the model {label} is in {self._place(('models', self.labels[label]))} already"
            raise self.written.problem(("models", place), f"{told}; remove one, or give it another name:")
        self.labels[label] = place
        return label

    def _place(self, path: Path) -> str:
        return f"{key_of(path)} (line {self.written.document.place_of(path).line})"

    def _waivers(self, models: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Waiver]:
        made: dict[tuple[str, str], Waiver] = {}
        for place, entry in enumerate(self.entries.waivers):
            at = ("waivers", place)
            if entry.model not in models:
                told = f"no model {quoted(entry.model)} in this gate{did_you_mean(entry.model, models)}"
                raise self.written.problem((*at, "model"), told)
            claims = models[entry.model]["claims"]
            if entry.claim not in claims:
                told = f"{entry.model} has no claim {quoted(entry.claim)}{did_you_mean(entry.claim, claims)}"
                raise self.written.problem((*at, "claim"), told)
            if claims[entry.claim].advisory:
                raise self.written.problem(at, f"{entry.claim} is advisory and stops nothing; remove the waiver")
            if (entry.model, entry.claim) in made:
                raise self.written.problem(at, f"a second waiver of {entry.claim} for {entry.model}; remove one")
            if entry.expires < self.today:
                told = f"this waiver expired on {entry.expires} ({quoted(entry.owner, marks=False)} answers for it)"
                remedy = "remove it, now that the claim must hold, or agree on a new date"
                raise self.written.problem((*at, "expires"), f"{told}; {remedy}")
            if entry.expires > self.today + LONGEST_WAIVER:
                told = f"a waiver lasts a year at most, and today is {self.today}"
                raise self.written.problem((*at, "expires"), f"{told}; write an earlier date than {entry.expires}")
            made[entry.model, entry.claim] = Waiver(entry.reason, entry.owner, entry.expires)
        return made

    def _model(
        self, model: Mapping[str, Any], waivers: Mapping[tuple[str, str], Waiver], able_to_block: int
    ) -> GateModel:
        claims = []
        for check, entry in model["claims"].items():
            levels = entry.levels or self.entries.levels
            waiver = waivers.get((model["label"], check))
            fail, control = levels.fail, None
            if not entry.advisory and waiver is None:
                fail, control = shares(self.entries.false_alarms, able_to_block, levels.fail)
            claims.append(
                GateClaim(
                    check=check,
                    suite=self.suite_of[check].name,
                    floor=entry.limit if entry.floor is None else entry.floor,
                    site=entry.site,
                    budget=entry.budget or self.entries.budget,
                    alpha_pass=levels.pass_,
                    alpha_fail=fail,
                    alpha_control_fail=control,
                    advisory=entry.advisory,
                    waiver=waiver,
                    why=entry.why,
                )
            )
        return GateModel(model["id"], model["label"], model["base"], model["coder"], model["sha256"], tuple(claims))
