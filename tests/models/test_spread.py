"""Models that accelerate has spread over memory and disk: the same sites, the same numbers, the same errors."""

from __future__ import annotations

import copy
import gc
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers.integrations.accelerate import accelerate_disk_offload

from interp_assert.bridges import backend
from interp_assert.errors import InterpError, ModelBroken, ModelRefused, UsageProblem
from interp_assert.models import BatchHalved, Model, calling, edits, for_batches, load, twins, wrap
from interp_assert.models.opening import pretrained as opening
from interp_assert.models.recurrent import step_through
from interp_assert.models.weights import lending, placement, spreading

from . import spread, tiny

pytest.importorskip("accelerate", reason="large models need the extra interp-assert[large]")
if "all_tied_weights_keys" not in inspect.getsource(accelerate_disk_offload):
    pytest.skip("this release of transformers loses tied weights that go to disk", allow_module_level=True)

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, untied": ("llama", {}),
    "gpt2": ("gpt2", {}),
    "gpt_neox": ("gpt_neox", {}),
    "mamba": ("mamba", {}),
    "mixtral": ("mixtral", {}),
    "gemma2": ("gemma2", {}),
}


@pytest.fixture(scope="module", params=MODELS, ids=lambda name: name.replace(", ", "-"))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    """(in memory, spread over memory and disk): the same weights."""
    architecture, changes = MODELS[request.param]
    plain = tiny.build(architecture, **changes)
    return wrap(plain, id="plain"), wrap(spread.offloaded(plain, tmp_path_factory.mktemp("large")), id="spread")


class TestTheSameModel:
    def test_identity_and_size(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        assert large.identity.sha256 == plain.identity.sha256
        assert large.n_parameters == plain.n_parameters
        assert (large.dtype, large.device) == (plain.dtype, plain.device)
        large.verify_unchanged()

    def test_anatomy(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        for of in ("sites", "missing", "routes", "blocks", "replays", "joined", "streams", "stream_dtype"):
            assert getattr(large.anatomy, of) == getattr(plain.anatomy, of), of
        assert large.anatomy.readout is not None
        assert large.anatomy.readout.describe() == plain.anatomy.readout.describe()  # type: ignore[union-attr]
        assert [proof.error for proof in large.anatomy.proofs] == [proof.error for proof in plain.anatomy.proofs]

    def test_reads(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        ids = tiny.token_ids()
        ours, theirs = (model.trace(ids, read=plain.anatomy.sites) for model in (large, plain))
        for site in plain.anatomy.sites:
            torch.testing.assert_close(ours[site], theirs[site], atol=1e-6, rtol=1e-6, msg=site)
        torch.testing.assert_close(large.unembed(ours["blocks.-1.resid_post"]), ours.logits, atol=1e-5, rtol=1e-4)

    def test_edits(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        ids = tiny.token_ids()
        unedited = large.trace(ids).logits
        for site in (site for site in plain.anatomy.sites if not site.startswith("blocks.1.")):
            ours, theirs = (model.trace(ids, write={site: edits.scale(1.5)}).logits for model in (large, plain))
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6, msg=site)
            assert not torch.equal(ours, unedited), site

    def test_nothing_is_left_behind(self, pair: tuple[Model, Model]) -> None:
        """After a stopped pass and after an error, the weights are on disk again, and only accelerate's hooks on."""
        _, large = pair
        away = spread.on_meta(large.module)
        large.trace(tiny.token_ids(), read=["blocks.1.resid_post"], logits=False)
        assert spread.on_meta(large.module) == away
        for site in (site for site in large.anatomy.sites if not site.startswith("blocks.0.")):
            with pytest.raises(ZeroDivisionError):
                large.trace(tiny.token_ids(), write={site: lambda value: 1 / 0})
            assert spread.on_meta(large.module) == away, site
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in large.module.modules())
        hooks = [part._hf_hook for part in large.module.modules() if hasattr(part, "_hf_hook")]
        assert hooks
        assert all(type(hook).__module__ == "accelerate.hooks" for hook in hooks)
        large.verify_unchanged()


def test_the_recorded_pass_keeps_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording keeps what the model computes, not what it computes with, or a model that does not fit would not."""
    from interp_assert.models.recording import recorder as recording

    held: list[int] = []
    leave = recording._Recorder.leave

    def count(self: recording._Recorder, out: Any) -> None:
        leave(self, out)
        alive = {id(t) for kept in self.alive.values() for t in kept if t.is_leaf and isinstance(t, torch.nn.Parameter)}
        held.append(len(alive))

    monkeypatch.setattr(recording._Recorder, "leave", count)
    large = wrap(spread.offloaded(tiny.build("llama"), tmp_path))
    assert large.anatomy.n_blocks == tiny.LAYERS
    in_memory = len(list(large.module.parameters())) - len(spread.on_meta(large.module))
    assert max(held) <= in_memory + 2


class TestOtherWeights:
    """Random twins, and the fresh weights that tell a site that these weights ignore from a dead hook."""

    @pytest.mark.parametrize(
        ("name", "scheme"),
        [
            ("llama, tied", "resample"),
            ("llama, tied", "init"),
            ("llama, untied", "permute_keepemb"),
            ("mamba", "resample"),
            ("mamba", "init"),
        ],
    )
    def test_twins_are_those_of_the_plain_model(self, name: str, scheme: str, tmp_path: Path) -> None:
        architecture, changes = MODELS[name]
        plain = tiny.build(architecture, **changes)
        ids = tiny.token_ids()
        large = wrap(spread.offloaded(plain, tmp_path), id="the same id")
        small = wrap(plain, id="the same id")
        before = large.trace(ids).logits
        ours = [twin.trace(ids).logits for twin in twins(large, scheme=scheme, n=2)]
        theirs = [twin.trace(ids).logits for twin in twins(small, scheme=scheme, n=2)]
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        assert not torch.allclose(ours[0], ours[1])
        assert torch.equal(large.trace(ids).logits, before)
        large.verify_unchanged()

    def test_using_the_model_ends_its_twin(self, tmp_path: Path) -> None:
        large = wrap(spread.offloaded(tiny.build("llama"), tmp_path))
        ids = tiny.token_ids()
        before = large.trace(ids).logits
        twin = next(twins(large))
        assert not torch.equal(twin.trace(ids).logits, before)
        assert torch.equal(large.trace(ids).logits, before)
        with pytest.raises(InterpError, match="no longer there"):
            twin.trace(ids)

    def test_an_initialisation_that_does_not_fit_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large = wrap(spread.offloaded(tiny.build("llama"), tmp_path))
        monkeypatch.setattr(lending, "available_memory", lambda: 1000)
        with pytest.raises(ModelRefused, match=r"of offloaded weights in memory at once.*1000 bytes.*resample"):
            next(twins(large, scheme="init"))
        assert next(twins(large, scheme="resample")).module is large._held
        large.verify_unchanged()

    @pytest.mark.parametrize("block", [0, 1], ids=["in memory", "on disk"])
    def test_a_site_that_these_weights_ignore_is_proven_on_fresh_ones(self, block: int, tmp_path: Path) -> None:
        plain = tiny.build("llama")
        torch.nn.init.zeros_(plain.model.layers[block].self_attn.o_proj.weight)
        large = wrap(spread.offloaded(plain, tmp_path))
        assert large.has("blocks.*.attn.pattern")
        proven = [proof for proof in large.anatomy.proofs if "fresh ones" in proof.identity]
        assert {proof.part for proof in proven} >= {"attn.pattern"}
        assert all(proof.holds for proof in proven)
        large.verify_unchanged()


class TestLoading:
    """``load`` of a model that does not fit: what transformers calls device_map."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return spread.saved(tiny.build("llama"), tmp_path / "model")

    @pytest.fixture
    def memory(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        def there_are(count: int) -> None:
            for module in (opening, spreading):
                monkeypatch.setattr(module, "available_memory", lambda: count)

        return there_are

    @pytest.fixture(autouse=True)
    def _own_temporary_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def test_what_fits_is_opened_as_ever(self, directory: Path, tmp_path: Path) -> None:
        plain, auto = load(str(directory)), load(str(directory), device="auto")
        assert auto.provenance() == plain.provenance()
        assert auto.provenance()["weights_at"] == {"cpu": auto.n_parameters}
        assert torch.equal(auto.trace(tiny.token_ids()).logits, plain.trace(tiny.token_ids()).logits)
        assert not list((tmp_path / "tmp").iterdir())

    @pytest.mark.parametrize(
        ("available", "on_disk"), [(60_000, True), (30_000, True), (100_000, False)], ids=["part", "all", "nothing"]
    )
    def test_what_does_not_fit_goes_to_disk(
        self, directory: Path, memory: Callable[[int], None], available: int, on_disk: bool
    ) -> None:
        memory(available)
        if on_disk:
            with pytest.raises(ModelRefused, match=r"does not fit: .*memory are available; .*device='auto'"):
                _ = load(str(directory)).module
        model = load(str(directory), device="auto")
        assert model.dtype == torch.bfloat16
        places = model.provenance()["weights_at"]
        assert sum(places.values()) == model.n_parameters
        assert 1.5 * 2 * places.get("cpu", 0) <= available
        assert ("disk" in places) == on_disk
        assert (f"{places.get('disk', 0):,} on disk; ids go to cpu" in model.anatomy.report()) == on_disk
        assert "unembed" not in model.anatomy.missing
        model.verify_unchanged()

    def test_the_memory_of_control_groups_counts(self, memory: Callable[[int], None]) -> None:
        """accelerate asks the machine alone, and a container would be killed."""
        memory(3_000_000)
        assert spreading.limits(3_000_000)["cpu"] == 2_000_000

    def test_a_map_as_transformers_takes_it(self, directory: Path) -> None:
        plain = load(str(directory))
        places = spread.device_map(plain.module)
        model = load(str(directory), device_map=places)
        assert model.module.hf_device_map == places
        assert set(model.provenance()["weights_at"]) == {"cpu", "disk"}
        assert model.dtype == torch.float32
        assert torch.equal(model.trace(tiny.token_ids()).logits, plain.trace(tiny.token_ids()).logits)
        assert set(load(str(directory), device_map={"": "disk"}).provenance()["weights_at"]) == {"disk"}
        assert load(str(directory), device_map="cpu").provenance() == plain.provenance()

    def test_the_folder_of_converted_weights_is_private_and_goes_with_the_module(self, tmp_path: Path) -> None:
        """transformers merges the experts of Mixtral while it loads, so they are not in the checkpoint as such."""
        plain = tiny.build("mixtral")
        directory = spread.saved(plain, tmp_path / "mixtral")
        model = load(str(directory), device_map=spread.device_map(plain))
        assert torch.equal(model.trace(tiny.token_ids()).logits, wrap(plain).trace(tiny.token_ids()).logits)
        (folder,) = (tmp_path / "tmp").iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        assert list(folder.iterdir())
        del model
        gc.collect()
        assert not folder.exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"device": "auto", "device_map": "auto"}, "both given"),
            ({"device": "balanced"}, "unknown device 'balanced': write cpu, cuda, cuda:1 or auto"),
            ({"device_map": "nope"}, "unknown device_map 'nope': write auto, balanced"),
            ({"device_map": {}}, "device_map names modules and where they go"),
            ({"device_map": {"model": "here"}}, "device_map puts 'model' on 'here': write cpu, disk"),
            ({"device_map": {"model": "cpu", "lm_head": "disk", "head": "cpu"}}, "has no module 'head'"),
            ({"device_map": {"model": "disk"}}, "does not take this device_map: .*lm_head.weight"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:The following device_map keys")
    def test_maps_that_cannot_be_meant(self, directory: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageProblem, match=message):
            _ = load(str(directory), **options).module

    def test_tied_weights_in_two_places(self, tmp_path: Path) -> None:
        """transformers takes such a map, and fails in the first pass."""
        plain = tiny.build("llama", tie_word_embeddings=True)
        directory = spread.saved(plain, tmp_path / "tied")
        places = spread.device_map(plain, resident=("embed_tokens",))
        with pytest.raises(ModelRefused, match=r"lm_head\.weight .* tied .* in one place of the device_map"):
            _ = load(str(directory), device_map=places).module

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
    @pytest.mark.parametrize("place", [0, "cuda:0"])
    def test_a_map_to_a_device_that_is_not_there(self, directory: Path, place: Any) -> None:
        with pytest.raises(UsageProblem, match="'cuda:0' asked for"):
            _ = load(str(directory), device_map={"model": place, "lm_head": "cpu"}).module

    @pytest.mark.parametrize(
        ("found", "message"),
        [(None, r"need accelerate>=1\.15: pip install 'interp-assert\[large\]'"), ("1.14.2", "1.14.2 is installed")],
    )
    def test_accelerate_is_missing_or_too_old(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, found: str | None, message: str
    ) -> None:
        def version(name: str) -> str:
            if found is None:
                raise spreading.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(spreading, "version", version)
        with pytest.raises(UsageProblem, match=message):
            load(str(directory), device="auto")
        assert load(str(directory), device="cpu").n_parameters

    def test_memory_is_checked_before_loading(self, directory: Path, memory: Callable[[int], None]) -> None:
        memory(9_000)
        with pytest.raises(ModelRefused, match=r"even with its weights on disk: .* alone is .* 8.8 KiB of memory"):
            _ = load(str(directory), device="auto").module
        memory(60_000)
        resident = {**dict.fromkeys(("model.embed_tokens", "model.layers", "model.norm", "model.rotary_emb"), "cpu")}
        with pytest.raises(ModelRefused, match=r"does not fit: 1\.5 x its weights in bfloat16"):
            _ = load(str(directory), device_map={**resident, "lm_head": "disk"}).module

    def test_damaged_weights_on_disk_are_noticed(self, tmp_path: Path) -> None:
        plain = tiny.build("llama")
        with torch.no_grad():
            plain.model.layers[2].mlp.up_proj.weight[0, 0] = float("nan")
        directory = spread.saved(plain, tmp_path / "damaged")
        with pytest.raises(ModelBroken, match=r"not finite: model\.layers\.2\.mlp\.up_proj\.weight"):
            _ = load(str(directory), device_map={"": "disk"}).module
        assert not list((tmp_path / "tmp").iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return wrap(spread.offloaded(tiny.build("mamba"), tmp_path_factory.mktemp("large")))


class TestBatchesAndSteps:
    def test_memory_that_runs_out_within_a_pass(self, large: Model) -> None:
        """The batch is halved; nothing of the pass that broke off stays."""
        away = spread.on_meta(large.module)

        def run(ids: torch.Tensor) -> torch.Tensor:
            def scarce(site: torch.Tensor) -> torch.Tensor:
                if len(site) > 2:
                    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
                return site

            return large.trace(ids, write={"blocks.1.ssm.out": scarce}).logits

        rows = tiny.token_ids(batch=8, length=6).tolist()
        with pytest.warns(BatchHalved):
            logits = torch.stack(for_batches(large, rows, run))
        assert spread.on_meta(large.module) == away
        torch.testing.assert_close(logits, large.trace(rows).logits, atol=1e-5, rtol=1e-5)

    def test_stepping_gives_what_the_pass_gives(self, large: Model) -> None:
        away, ids = spread.on_meta(large.module), tiny.token_ids(length=6)
        stepped = step_through(large, ids)
        whole = large.trace(ids, read=["blocks.*.state"])
        torch.testing.assert_close(stepped.logits, whole.logits, atol=1e-5, rtol=1e-4)
        for site in whole:
            torch.testing.assert_close(stepped.states[site], whole[site], atol=1e-5, rtol=1e-4)
        assert spread.on_meta(large.module) == away

    def test_gradients(self, large: Model) -> None:
        ids = tiny.token_ids(length=6)
        (ours,) = gradients_of(large, ids)
        (theirs,) = gradients_of(wrap(tiny.build("mamba")), ids)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)

    def test_memory_is_metered_on_every_gpu(self, large: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        devices = [torch.device("cuda:0"), torch.device("cuda:1")]
        monkeypatch.setattr(placement, "gpus", lambda module: devices)
        asked: list[tuple[str, torch.device]] = []
        for name in ("reset_peak_memory_stats", "synchronize", "max_memory_allocated"):
            monkeypatch.setattr(
                torch.cuda, name, lambda gpu, name=name: (asked.append((name, gpu)), 100 + gpu.index)[1]
            )
        with large.metered() as span:
            pass
        assert span.peak_memory == 201
        assert [gpu for name, gpu in asked if name == "reset_peak_memory_stats"] == devices


def gradients_of(model: Model, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
    trace = model.trace(ids, read=["blocks.0.resid_post"], grad=True)
    return torch.autograd.grad(trace.logits[:, -1, 7].sum(), trace["blocks.0.resid_post"])


class TestTheWaysOfAccelerate:
    """``wrap`` of a module that the user has dispatched, one way or the other."""

    @staticmethod
    def ways(folder: Path) -> dict[str, Callable[[Any], Any]]:
        import accelerate

        def dispatched(module: Any, **options: Any) -> Any:
            return accelerate.dispatch_model(module, spread.device_map(module), offload_dir=folder, **options)

        return {
            "cpu": lambda module: accelerate.cpu_offload(module, "cpu"),
            "cpu and buffers": lambda module: accelerate.cpu_offload(module, "cpu", offload_buffers=True),
            "disk": lambda module: accelerate.disk_offload(module, folder, "cpu"),
            "buffers": lambda module: dispatched(module, offload_buffers=True),
            "whole blocks": lambda module: dispatched(
                module, preload_module_classes=["LlamaDecoderLayer", "Mamba2Block"]
            ),
            "one device": lambda module: accelerate.dispatch_model(module, {"": "cpu"}, force_hooks=True),
        }

    @pytest.mark.parametrize("way", ["cpu", "cpu and buffers", "disk", "buffers", "whole blocks", "one device"])
    @pytest.mark.parametrize("architecture", ["llama", "mamba2"])
    def test_each(self, architecture: str, way: str, tmp_path: Path) -> None:
        options = {"tie_word_embeddings": True} if architecture == "llama" else {}
        plain = wrap(tiny.build(architecture, **options), id="the same id")
        module = self.ways(tmp_path)[way](tiny.build(architecture, **options))
        large = wrap(module, id="the same id")
        away, ids = spread.on_meta(module), tiny.token_ids()
        assert bool(away) == (way != "one device")
        assert large.n_parameters == plain.n_parameters
        assert (large.anatomy.sites, large.anatomy.missing) == (plain.anatomy.sites, plain.anatomy.missing)
        for site in ("blocks.1.resid_pre", "final_norm"):
            ours, theirs = (model.trace(ids, read=[site], write={site: edits.scale(2.0)}) for model in (large, plain))
            torch.testing.assert_close(ours[site], theirs[site], atol=1e-6, rtol=1e-6)
            torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-6, rtol=1e-6)
        large.trace(ids, read=["blocks.1.resid_pre"], logits=False)
        assert spread.on_meta(module) == away
        ours, theirs = (next(twins(model)).trace(ids).logits for model in (large, plain))
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        assert large.n_parameters == plain.n_parameters
        large.verify_unchanged()
        assert large.identity.sha256 == plain.identity.sha256

    def test_a_release_that_mixes_up_weights_is_refused(self, tmp_path: Path) -> None:
        """Before 1.15 the address of weights on disk, which is 0 for all of them, stood for what ties them."""
        module = spread.offloaded(tiny.build("llama", tie_word_embeddings=True), tmp_path)
        module.lm_head._hf_hook.tied_params_map[0] = {}
        with pytest.raises(ModelRefused, match=r"accelerate that mixes up weights .* accelerate>=1\.15"):
            wrap(module)

    def test_other_libraries_are_not_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "find_spec", lambda name: object())
        large = wrap(spread.offloaded(tiny.build("llama"), tmp_path))
        with pytest.raises(backend.BackendUnavailable, match="is spread over several places, which nnsight"):
            backend.open_backend("nnsight", large)

    def test_weights_that_are_nowhere_are_refused(self) -> None:
        module = tiny.build("llama")
        module.model.norm.to("meta")
        with pytest.raises(ModelRefused, match=r"model\.norm\.weight .*is on the meta device"):
            wrap(module)


def test_sites_come_home_from_a_second_device() -> None:
    pytest.importorskip("torch.utils.backend_registration", reason="needs torch's fake devices")
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("needs a torch whose devices can be faked")
    done = subprocess.run(
        [sys.executable, "-m", "models.two_devices", "llama"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "done", done.stderr


class TestPrecision:
    """bfloat16 and mixtures of formats: the identities hold at their rounding, in memory and on disk alike."""

    @pytest.mark.parametrize("architecture", ["llama", "mamba"])
    def test_bfloat16_from_shards(self, architecture: str, tmp_path: Path) -> None:
        plain = tiny.build(architecture)
        directory = spread.saved(plain, tmp_path / "model")
        whole = load(str(directory), dtype="bfloat16")
        large = load(str(directory), dtype="bfloat16", device_map=spread.device_map(plain))
        assert {parameter.dtype for parameter in large.module.parameters()} == {torch.bfloat16}
        exact, ids = wrap(plain), tiny.token_ids()
        for model in (whole, large):
            assert (model.anatomy.sites, model.anatomy.missing) == (exact.anatomy.sites, exact.anatomy.missing)
            assert all(proof.holds for proof in model.anatomy.proofs)
        ours, theirs = (model.trace(ids, read=exact.anatomy.sites) for model in (large, whole))
        for site in exact.anatomy.sites:
            torch.testing.assert_close(ours[site], theirs[site], atol=1e-2, rtol=1e-2, msg=site)
        error = (large.trace(ids).logits.float() - exact.trace(ids).logits).norm() / exact.trace(ids).logits.norm()
        assert 0 < error < 0.05
        assert large.provenance()["dtype"] == "bfloat16"

    @pytest.mark.parametrize("way", ["in memory", "on disk"])
    def test_norms_in_float32(self, way: str, tmp_path: Path) -> None:
        module = tiny.build("gpt2").bfloat16()
        for part in module.modules():
            if isinstance(part, torch.nn.LayerNorm):
                part.float()
        if way == "on disk":
            import accelerate

            accelerate.dispatch_model(module, spread.device_map(module), offload_dir=tmp_path)
        model = wrap(module)
        assert model.dtype == torch.bfloat16
        assert all(proof.holds for proof in model.anatomy.proofs)
        for site in model.anatomy.sites:
            assert model.has(site), site
        trace = model.trace(tiny.token_ids(), read=["blocks.-1.resid_post"])
        torch.testing.assert_close(model.unembed(trace["blocks.-1.resid_post"]), trace.logits, atol=2e-2, rtol=2e-2)
        model.verify_unchanged()


class Block(torch.nn.Module):
    """Scales the stream by a parameter of its own: a factor that an anatomy knows by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 24), torch.nn.Linear(24, 16)
        self.gain = torch.nn.Parameter(torch.linspace(0.5, 1.5, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x + self.down(torch.tanh(self.up(x)))


class OwnHead(torch.nn.Module):
    """Unembeds by a product with a parameter, which no module applies."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(40, 16)
        self.layers = torch.nn.ModuleList(Block() for _ in range(3))
        self.unembedding = torch.nn.Parameter(torch.randn(40, 16))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return 3.0 * x @ self.unembedding.T


@pytest.mark.parametrize("way", ["cpu", "disk"])
def test_parameters_that_an_anatomy_knows_by_name(way: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = OwnHead()
    plain = wrap(copy.deepcopy(module), id="own")
    large = wrap(TestTheWaysOfAccelerate.ways(tmp_path)[way](module), id="own")
    assert len(spread.on_meta(module)) == len(list(plain.module.parameters()))
    assert "gain" in str(large.anatomy.replays)
    assert "linear(unembedding)" in str(large.anatomy.readout and large.anatomy.readout.describe())
    assert (large.anatomy.routes, large.anatomy.replays) == (plain.anatomy.routes, plain.anatomy.replays)
    assert [proof.error for proof in large.anatomy.proofs] == [proof.error for proof in plain.anatomy.proofs]
    ids = torch.arange(12).reshape(2, 6)
    for site in plain.anatomy.sites:
        ours, theirs = (model.trace(ids, read=[site], write={site: edits.scale(2.0)}) for model in (large, plain))
        assert torch.equal(ours[site], theirs[site])
        assert torch.equal(ours.logits, theirs.logits)
    resid = plain.trace(ids, read="blocks.2.resid_post")["blocks.2.resid_post"]
    assert torch.equal(large.unembed(resid), plain.unembed(resid))
    ours, theirs = (next(twins(model)).trace(ids).logits for model in (large, plain))
    assert torch.equal(ours, theirs)
    large.verify_unchanged()


def test_what_accelerate_does_is_not_counted_as_the_models_doing(tmp_path: Path) -> None:
    """Function taps count the calls of torch functions; those that bring a weight come from elsewhere."""

    class Seen(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    plain = tiny.build("llama")
    names = []
    for module in (plain, spread.offloaded(plain, tmp_path)):
        with torch.no_grad(), Seen() as seen:
            calling.forward(module, tiny.token_ids())
        names.append(seen.names)
    assert names[0] == names[1]
