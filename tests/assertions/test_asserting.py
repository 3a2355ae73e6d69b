"""What every assertion does around its own work: say what was asked, and remember what it found."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from interp_assert.assertions import InterpAssertionError, recording
from interp_assert.assertions.addresses import NoAddress, address_of
from interp_assert.assertions.asserting import asserted, remembering
from interp_assert.assertions.engine import whole_budget
from interp_assert.assertions.recording import conclude
from interp_assert.errors import UsageProblem
from interp_assert.measures import measurement
from interp_assert.models import Model
from interp_assert.models.sources.identity import Identity
from interp_assert.prompts import Endless, LabelledTexts
from interp_assert.stats import STANDARD, Asked, Budget, Cost, ErrorLevels, Outcome, Verdict

pytestmark = pytest.mark.usefixtures("registered_by_nobody")


class Source:
    def __init__(self, opening: dict[str, Any] | None) -> None:
        self._opening = opening

    def opening(self) -> dict[str, Any] | None:
        return self._opening


def model(sha256: str = "a", *, opening: dict[str, Any] | None = {"dtype": None}, **files: str) -> Model:  # noqa: B006
    identity = Identity("zoo:x", "zoo", None, sha256, {"model.safetensors": sha256, **files})
    return Model(identity, Source(opening))  # type: ignore[arg-type]


class Kept(dict[str, Verdict]):
    """A memory in memory."""

    def recall(self, address: Any) -> Verdict | None:
        return self.get(json.dumps(address))

    def keep(self, address: Any, verdict: Verdict) -> None:
        self[json.dumps(address)] = replace(verdict, remembered=verdict.cost)


calls: list[Any] = []


@asserted
def assert_something(
    model: Model,
    data: Any = None,
    *,
    n: int = 20,
    floor: float = 0.5,
    outcome: str = "PASS",
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
) -> Verdict:
    calls.append(data)
    if outcome == "ERROR":
        raise UsageProblem("no")
    return conclude(
        Verdict(
            "a/b", Outcome(outcome), model.id, None, "c", 0.5, None, 1, floor, "higher", ErrorLevels(), (), {}, Cost(7)
        )
    )


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@pytest.fixture
def memory() -> Any:
    kept = Kept()
    with remembering(kept):
        yield kept


def ask(*args: Any, **kwargs: Any) -> Verdict:
    try:
        return assert_something(*args, **kwargs)
    except InterpAssertionError as error:
        return error.verdict


class TestRemembering:
    @pytest.mark.parametrize("outcome", ["PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE"])
    def test_the_same_call_is_concluded_again_without_its_work(self, memory: Kept, outcome: str) -> None:
        first, heard = ask(model(), outcome=outcome), list[Verdict]()
        with recording(heard.append):
            second = ask(model=model(), outcome=outcome, n=20)
        assert len(calls) == 1
        assert (second.outcome, second.remembered) == (first.outcome, Cost(7))
        assert heard == [second]

    @pytest.mark.parametrize(
        "other",
        [
            {"model": model("b")},
            {"model": model(**{"tokenizer.json": "t"})},
            {"model": model(opening={"dtype": "bfloat16"})},
            {"n": 21},
            {"floor": 0.6},
            {"budget": 128},
            {"levels": ErrorLevels(pass_=0.02)},
            {"seed": 1},
            {"data": ["other"]},
        ],
        ids=str,
    )
    def test_another_call_is_measured(self, memory: Kept, other: dict[str, Any]) -> None:
        usual: dict[str, Any] = {"model": model(), "data": ["texts"]}
        ask(**usual)
        ask(**usual | other)
        assert len(calls) == 2

    def test_a_whole_budget_is_another_call(self, memory: Kept) -> None:
        ask(model())
        with whole_budget():
            ask(model())
        assert len(calls) == 2

    def test_what_has_no_address_is_measured_each_time(self, memory: Kept) -> None:
        for given in ({"model": model(opening=None)}, {"model": model(), "data": iter([])}):
            ask(**given)
            ask(**given)
        assert len(calls) == 4
        assert memory == {}

    def test_an_error_is_not_remembered(self, memory: Kept) -> None:
        for _ in range(2):
            with pytest.raises(UsageProblem):
                ask(model(), outcome="ERROR")
        assert len(calls) == 2
        assert memory == {}

    def test_without_a_memory_everything_is_measured(self) -> None:
        ask(model())
        ask(model())
        assert len(calls) == 2

    def test_wrong_arguments_are_told_as_python_tells_them(self, memory: Kept) -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument 'nn'"):
            assert_something(model(), nn=3)  # type: ignore[call-arg]


class TestWhatWasAsked:
    @pytest.mark.parametrize(
        ("given", "parameters"),
        [
            ({}, {}),
            ({"n": 20, "floor": 0.9, "levels": ErrorLevels(pass_=0.02)}, {}),
            ({"n": 8}, {"n": "8"}),
            ({"data": ("Europe", "Asia")}, {"data": "Europe,Asia"}),
            ({"data": LabelledTexts("truth", list("abcd"), [0, 1, 0, 1], list("abcd"))}, {"data": "truth"}),
            ({"data": len}, {"data": "len"}),
        ],
    )
    def test_parameters_are_what_changes_the_measurement(
        self, given: dict[str, Any], parameters: dict[str, str]
    ) -> None:
        assert ask(model(), **given).asked == Asked(parameters, STANDARD.clusters, 0)

    def test_long_values_go_by_their_content(self) -> None:
        one, same, other = (
            ask(model(), data=[text] * 20).asked.parameters["data"] for text in ("a text", "a text", "another text")
        )
        assert len(one) == 12
        assert one == same != other

    def test_budget_and_seed_stand_apart(self) -> None:
        asked = ask(model(), budget="quick", seed=3).asked
        assert (asked.parameters, asked.clusters, asked.seed) == ({}, 128, 3)


def defined_in(path: Path, body: str) -> Any:
    path.write_text(body)
    space: dict[str, Any] = {"__name__": path.stem}
    exec(compile(body, str(path), "exec"), space)
    return space


class TestAddresses:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, 2),
            (1, "1"),
            (1, 1.0),
            (float("nan"), None),
            ([1, [2]], [[1], 2]),
            ({"a": 1}, {"a": 2}),
            (np.zeros(2), np.zeros(3)),
            (np.zeros(2), np.zeros(2, dtype=np.float32)),
            (STANDARD, Budget("standard", 513)),
        ],
    )
    def test_different_things_have_different_ones(self, one: Any, other: Any) -> None:
        assert json.dumps(address_of(one)) == json.dumps(address_of(one)) != json.dumps(address_of(other))

    @pytest.mark.parametrize("value", [object(), {1, 2}, iter([1]), np.array([object()]), lambda: 1, b"x"])
    def test_what_cannot_be_told_apart_has_none(self, value: Any) -> None:
        with pytest.raises(NoAddress):
            address_of(value)

    def test_a_measurement_of_ones_own_is_its_version_and_its_file(self, tmp_path: Path) -> None:
        body = "def score(model, prompts): return [0.5 for _ in prompts]\n"

        def own(text: str, version: int = 1, prompts: Any = ("a", "b")) -> Any:
            path = tmp_path / f"m{len(list(tmp_path.iterdir()))}.py"
            function = defined_in(path, text)["score"]
            return address_of(measurement("mine/score", prompts=prompts, version=version)(function))

        def without_name(address: Any) -> str:
            address["measurement"]["function"]["function"][0] = ""
            return json.dumps(address)

        usual = without_name(own(body))
        assert without_name(own(body)) == usual
        assert without_name(own(body + "# changed")) != usual
        assert without_name(own(body, version=2)) != usual
        assert without_name(own(body, prompts=("a", "c"))) != usual
        with pytest.raises(NoAddress):
            own(body, prompts=[object()])

    def test_endless_prompts_go_by_what_makes_them(self) -> None:
        def made(seed: int) -> Any:
            own = measurement("mine/score", prompts=Endless(lambda generator: generator.random(), seed))
            return address_of(own(lambda model, prompts: prompts))

        assert made(0) == made(0) != made(1)

    def test_no_model_has_one_where_a_family_was_stated_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_assert.models import Family, register_family
        from interp_assert.models.families import registry

        assert address_of(model())
        monkeypatch.setattr(registry, "_declared", registry._declared.copy())
        monkeypatch.setattr("interp_assert.models.families.origins._declared", registry._declared)
        register_family("SomeLanguageModel")(lambda module: Family())
        with pytest.raises(NoAddress, match="test_asserting"):
            address_of(model())

    def test_records_of_the_users_go_by_what_they_hold_and_those_that_do_something_have_none(self) -> None:
        @dataclass(frozen=True)
        class Pair:
            one: str
            other: str = "b"

        @dataclass(frozen=True)
        class Rows(Pair):
            def rows(self) -> list[str]:
                return Path(self.one).read_text().splitlines()

        @dataclass(frozen=True)
        class Called:
            def __call__(self) -> int:
                return 1

        assert address_of(Pair("a")) == address_of(Pair("a")) != address_of(Pair("c"))
        for acting in (Rows("a"), Called()):
            with pytest.raises(NoAddress, match="may do anything"):
                address_of(acting)

    @pytest.mark.parametrize("how", ["data", "hook", "forward", "part", "train"])
    def test_no_model_has_one_that_was_changed_since_it_was_opened(self, how: str) -> None:
        import torch

        class Opens(Source):
            def open_module(self) -> torch.nn.Module:
                return torch.nn.Sequential(torch.nn.Linear(60, 40), torch.nn.LayerNorm(40)).eval()

        made = model()
        made.source = Opens({"dtype": None})  # type: ignore[assignment]
        before = address_of(made)
        module: Any = made.module
        module(torch.zeros(1, 60))
        assert address_of(made) == before
        if how == "data":
            module[0].weight.data[3, 5] += 1e-3
        elif how == "hook":
            module[0].register_forward_hook(lambda *_: None)
        elif how == "forward":
            module.forward = lambda ids: ids
        elif how == "part":
            module[1] = torch.nn.RMSNorm(40)
        else:
            module.train()
        with pytest.raises(NoAddress, match="changed since it was opened"):
            address_of(made)
        late = model()
        late.source = Opens({"dtype": None})  # type: ignore[assignment]
        _ = late.module  # nobody watched, so nobody knows what was done to it
        with pytest.raises(NoAddress):
            address_of(late)

    def test_functions_of_ours_go_by_what_they_closed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def closed_over(value: Any) -> FunctionType:
            def inner() -> Any:
                return value

            inner.__module__ = "interp_suites.test_controls"
            return inner  # type: ignore[return-value]

        assert address_of(closed_over(1)) == address_of(closed_over(1)) != address_of(closed_over(2))
        with pytest.raises(NoAddress):
            address_of(closed_over(object()))

    def test_a_coder_is_its_settings_and_weights(self) -> None:
        import torch

        from interp_assert.coders.topk import TopKCoder

        def coder(k: int, weight: float) -> Any:
            made = TopKCoder((4,), 8, k)
            torch.nn.init.constant_(made.W_enc, weight)
            return address_of(made)

        assert coder(2, 0.0) == coder(2, 0.0)
        assert coder(2, 0.0) != coder(3, 0.0) != coder(3, 1.0)
        with pytest.raises(NoAddress):
            address_of(torch.nn.Linear(1, 1))


def test_remembering_needs_no_torch() -> None:
    """A second run is to take seconds, and torch alone takes two."""
    import subprocess

    code = "import sys, interp_assert.assertions, interp_assert.records.remembered; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
