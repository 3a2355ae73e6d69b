"""The shipped suites on real models, from the command line to the results file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import transformers
from models.tiny_models import llama, mamba, save
from packaging import version

import interp_fixtures.zoo
from interp_assert import save_coder, train_coder, wrap
from interp_assert.conformance import CHECKS
from interp_assert.prompts import SHIPPED_SETS
from interp_assert.records import read_results
from interp_suites import SHIPPED

ANATOMY = tuple(CHECKS)
WEIGHTS = Path(interp_fixtures.zoo.__file__).parent / "weights" / "gpt_neox"


@pytest.fixture
def real(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory for runs with real models: in a process of their own, on one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest --interp-budget=quick")
    return pytester


class TestTheDefaultModel:
    def test_passes_its_claims_and_says_so_everywhere(self, real: pytest.Pytester) -> None:
        real.makepyfile(
            test_mine="""
            from interp_assert import assert_induction

            def test_it_copies(interp_model, interp_settings):
                verdict = assert_induction(interp_model, floor=0.5, n=10, **interp_settings)
                assert verdict.n <= 128

            def test_training_made_a_difference(interp_model, interp_twins):
                [twin] = interp_twins("resample", n=1)
                assert twin.id == "zoo:gpt_neox~resample#0"
            """
        )
        result = real.runpytest_subprocess(
            "--interp-model=zoo:gpt_neox", "--interp-json=out.json", "--junitxml=junit.xml", "-v"
        )
        assert result.ret == 0
        default = [suite.name for suite in SHIPPED if not suite.by_name_only and not suite.needs_base]
        result.stdout.fnmatch_lines(
            [
                f"interp: models zoo:gpt_neox (--interp-model); suites {', '.join(default)} (default); *quick *",
                "interp::circuits::test_induction?zoo:gpt_neox? PASSED*",
                "interp::lens::test_crossover?zoo:gpt_neox? PASSED*",
                "model * architecture * parameters * induction * lens crossover * verdicts * passes * seconds",
                "zoo:gpt_neox  gpt_neox * K * (*x) * block * of * PASS*",
                "interp: results written to *out.json",
            ]
        )
        results = read_results(real.path / "out.json")
        [model] = results.models
        assert (model["id"], model["architecture"], model["threads"], model["changed"]) == (
            "zoo:gpt_neox",
            "gpt_neox",
            1,
            None,
        )
        assert len(model["sha256"]) == 64
        checks = {check["nodeid"].partition("[")[0]: check for check in results.checks}
        asked = [check for check in results.checks if check["verdict"] != "NOT_APPLICABLE"]
        assert {check["verdict"] for check in asked} == {"PASS"}
        assert "probes/truth" in {check["check"] for check in asked}
        lacking = {check["check"] for check in results.checks if check not in asked}
        assert lacking <= {"probes/sentiment", "probes/tense", "probes/number"}, "words that it does not know"
        assert {"interp::circuits::test_induction", "interp::lens::test_crossover", "test_mine.py::test_it_copies"} < {
            *checks
        }
        assert {nodeid.split("::")[1] for nodeid in checks if nodeid.startswith("interp::")} == {*default}
        for check in asked:
            assert check["forward_passes"] > 0
            assert check["tokens"] > 0
            assert check["controls"]
            assert {control["verdict"] for control in check["controls"] if control["required"]} == {"PASS"}
        assert checks["test_mine.py::test_it_copies"]["threshold"] == 0.5
        xml = (real.path / "junit.xml").read_text()
        lines = [each for each in ElementTree.fromstring(xml).iter("property") if each.get("name") == "interp"]
        assert len(lines) == len(results.checks)
        assert len(xml) < 1500 * len(results.checks)


class TestARealModelThatDoesNotInduce:
    @pytest.mark.shared
    def test_fails_with_its_evidence_and_exit_1(self, real: pytest.Pytester, shared: Path) -> None:
        result = real.runpytest_subprocess(
            f"--interp-model=stories={shared / 'models' / 'stories260k'}",
            "--interp-suites=circuits,lens",
            "--interp-json=out.json",
            "--interp-budget=standard",
            "--interp-suites=circuits,lens",
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            ["circuits/induction FAIL: *for stories*", "stories  llama *", "FAIL circuits/induction on stories*"]
        )
        result.stdout.no_fnmatch_line("*Traceback*")
        result.stdout.no_fnmatch_line("*assert_induction(interp_model*")
        [induction] = [c for c in read_results(real.path / "out.json").checks if c["check"] == "circuits/induction"]
        assert induction["verdict"] == "FAIL"


@pytest.mark.skipif(
    version.parse(transformers.__version__) < version.parse("5.20"), reason="older releases have other traps"
)
class TestAnatomy:
    def test_a_fault_a_trap_and_a_skip_are_told_as_what_they_are(self, real: pytest.Pytester) -> None:
        save(llama(), real.path / "broken")
        save(mamba(), real.path / "sound")
        real.makeconftest(
            """
            import pytest

            @pytest.fixture(scope="session")
            def interp_model(interp_model):
                if interp_model.id == "broken":
                    interp_model.module.model.layers[1].self_attn.is_causal = False
                return interp_model
            """
        )
        result = real.runpytest_subprocess(
            "--interp-suites=anatomy",
            "--interp-model=broken=./broken,sound=./sound",
            "-k",
            "chain or causality or attention or stepping and sound",
            "--interp-json=out.json",
            "-rs",
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=4, failed=2, skipped=1)
        result.stdout.fnmatch_lines(
            [
                "anatomy/causality FAIL: another token at position 1 moves what is before it (relative difference *, "
                "limit *) for broken (blocks.1.resid_post), n = * input*",
                "  input      ids=[[][[]3, *, position=1",
                "FAIL anatomy/attention on broken at blocks.1.attn.pattern: * a query attends to later positions *",
                "NOT_APPLICABLE anatomy/attention on sound; it has no attention patterns: *",
                "TRAP anatomy/cache_stepping on sound: several tokens on a warm cache restart the recurrence: *",
            ]
        )
        result.stdout.no_fnmatch_line("*Traceback*")
        results = read_results(real.path / "out.json")
        [causality] = [c for c in results.checks if (c["check"], c["model"]) == ("anatomy/causality", "broken")]
        assert (causality["verdict"], causality["layer"], causality["levels"]) == ("FAIL", "blocks.1.resid_post", None)
        assert causality["details"]["example"]["position"] == 1
        assert causality["estimate"] > causality["threshold"]


class TestAModelThatChangesWhileItIsMeasured:
    def test_the_run_fails_and_names_the_file_also_from_a_worker(self, real: pytest.Pytester) -> None:
        shutil.copytree(WEIGHTS, real.path / "tuned")
        real.makeconftest(
            """
            from pathlib import Path

            def pytest_runtest_call(item):
                if "tuned" in item.nodeid:  # by then its worker has loaded it, whatever the other one does
                    config = Path("tuned/config.json")
                    config.write_text(config.read_text() + " ")
            """
        )
        result = real.runpytest_subprocess(
            "interp::circuits", "--interp-model=zoo:gpt_neox,tuned=./tuned", "-n2", "--interp-json=out.json"
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(
            ["tuned: config.json in * changed*", "interp: the model changed during the run: tuned: config.json in *"]
        )
        results = read_results(real.path / "out.json")
        assert [(model["id"], bool(model["changed"])) for model in results.models] == [
            ("zoo:gpt_neox", False),
            ("tuned", True),
        ]
        one, other = results.checks
        assert (one["model"], other["model"]) == ("zoo:gpt_neox", "tuned")
        assert one["controls"] == other["controls"]


class TestCoders:
    def test_a_coder_of_the_users_is_judged(self, real: pytest.Pytester) -> None:
        module = llama()
        save(module, real.path / "tiny")
        coder = train_coder(wrap(module), site="blocks.1.resid_post", length=16, steps=5, tokens=200, k=4)
        coder.origin = None
        save_coder(coder, real.path / "sae")
        result = real.runpytest_subprocess(
            "--interp-model=tiny=./tiny",
            "--interp-suites=coders",
            "--interp-coder=blocks.1.resid_post=./sae",
            "--interp-floor=coders/variance_explained=0.99",
            "--interp-json=out.json",
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        [check] = read_results(real.path / "out.json").checks
        assert (check["verdict"], check["layer"], check["details"]["tau"]) == ("FAIL", "blocks.1.resid_post", 0.99)
        assert check["details"]["coder"]["k"] == 4
        assert check["details"]["recipe"] is None


class TestTiming:
    def test_facts_stand_beside_every_time(self, real: pytest.Pytester) -> None:
        result = real.runpytest_subprocess(
            "--interp-model=zoo:gpt_neox", "--interp-suites=timing", "--benchmark-json=out.json"
        )
        assert result.ret == 0
        result.assert_outcomes(passed=3)
        document = json.loads((real.path / "out.json").read_text())
        assert list(document["interp"]["models"]) == ["zoo:gpt_neox"]
        facts = {entry["name"].partition("[")[0]: entry for entry in document["benchmarks"]}
        assert set(facts) == {"test_plain_forward", "test_traced_forward", "test_induction_measurement"}
        for entry in facts.values():
            info = entry["extra_info"]
            assert (info["device"], info["dtype"], info["threads"]) == ("cpu", "float32", 1)
            assert info["tokens_per_second"] > 0
            assert info["ratio_to_plain"] > 0
            assert entry["stats"]["rounds"] >= 5
        assert facts["test_plain_forward"]["fullname"] == "interp::timing::test_plain_forward[zoo:gpt_neox]"

    @pytest.mark.parametrize(("worker", "why"), [("gw0", "xdist"), (None, "--benchmark-disable")])
    def test_says_that_nothing_was_measured(
        self, monkeypatch: pytest.MonkeyPatch, worker: str | None, why: str
    ) -> None:
        from interp_suites.test_timing import compare

        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
        if worker is not None:
            monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        with pytest.raises(pytest.skip.Exception, match=rf"^not measured \({why}\)$"):
            compare(SimpleNamespace(disabled=True), None, print, print, tokens=1)  # type: ignore[arg-type]


class TestTheCatalogue:
    def test_names_the_checks_that_the_suites_decide(self) -> None:
        from interp_assert.assertions import induction, lens_crossover, steers, variance_explained

        decided = {
            "circuits": [induction.CHECK],
            "lens": [lens_crossover.CHECK],
            "probes": [f"probes/{name}" for name in SHIPPED_SETS],
            "coders": [variance_explained.CHECK],
            "controls": ["controls/permuted_weights", "controls/kept_embeddings", steers.CHECK],
            "anatomy": [f"anatomy/{name}" for name in ANATOMY],
        }
        of_suites = {suite.name: list(suite.checks) for suite in SHIPPED}
        assert {name: of_suites[name] for name in decided} == decided
        assert all(check.startswith(f"{suite.name}/") for suite in SHIPPED for check in suite.checks)

    def test_importing_it_imports_no_suite(self, pytester: pytest.Pytester) -> None:
        code = "import sys, interp_suites; print({'torch', 'pytest', 'interp_assert'} & set(sys.modules))"
        assert pytester.runpython_c(code).outlines == ["set()"]
