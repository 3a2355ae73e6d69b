"""Opening a model: what ids mean, what is known without torch, what is refused and how it is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from interp_assert import InterpError, load, wrap
from interp_assert.errors import ModelBroken, ModelChanged, ModelNotFound, ModelRefused, UsageProblem
from interp_assert.models import parse_id, preflight
from interp_assert.models.opening import pretrained as opening
from interp_assert.models.sources.ids import each_of

from .tiny_models import gpt2, llama, mamba, mamba2, save


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save(llama(), tmp_path / "model")


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = directory / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(weights)
    path.unlink()
    save_file(weights, path, metadata={"format": "pt"})


class TestIds:
    def test_forms(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(directory.parent)
        forms = {
            "./model": ("./model", "directory", "./model", None),
            "model": ("model", "directory", "model", None),
            "tuned=./model": ("tuned", "directory", "./model", None),
            "zoo:gpt2": ("zoo:gpt2", "zoo", "gpt2", None),
            "zoo:gpt2@100": ("zoo:gpt2@100", "zoo", "gpt2", "100"),
            "gpt2": ("gpt2", "hub", "gpt2", None),
            "org/name": ("org/name", "hub", "org/name", None),
            "org/name@step512": ("org/name@step512", "hub", "org/name", "step512"),
            "a/b/c": ("a/b/c", "directory", "a/b/c", None),
        }
        for text, (id, scheme, target, revision) in forms.items():
            parsed = parse_id(text)
            assert (parsed.id, parsed.scheme, parsed.target, parsed.revision) == (id, scheme, target, revision), text
        assert parse_id("org/name", "v1").id == "org/name@v1"

    def test_one_id_can_stand_for_many(self) -> None:
        from interp_fixtures.zoo import checkpoints, names

        assert each_of("zoo:all") == tuple(f"zoo:{name}" for name in names())
        assert each_of("zoo:gpt_neox@all") == tuple(f"zoo:gpt_neox@{step}" for step in checkpoints("gpt_neox"))
        assert set(each_of("zoo:all@all")) >= set(each_of("zoo:gpt_neox@all"))
        for alone in ("zoo:gpt2", "zoo:gpt2@300", "org/all", "org/name@all", "./all", "all"):
            assert each_of(alone) == (alone,)

    @pytest.mark.parametrize(
        ("id", "error", "words"),
        [
            ("mine=zoo:all", UsageProblem, "one name to several"),
            ("zoo:nothing@all", ModelNotFound, "it has gpt_neox"),
        ],
    )
    def test_many_that_are_not_there(self, id: str, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            each_of(id)

    def test_a_source_that_lists_nothing_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_fixtures import zoo

        monkeypatch.delattr(zoo, "names")
        with pytest.raises(ModelNotFound, match="does not list its names; name one"):
            each_of("zoo:all")

    def test_loading_several_at_once_is_refused(self) -> None:
        with pytest.raises(ModelNotFound, match=r"several models: load one of zoo:gpt_neox"):
            load("zoo:all").anatomy  # noqa: B018

    @pytest.mark.parametrize(
        ("id", "options", "error", "words"),
        [
            ("./nowhere", {}, ModelNotFound, "./nowhere"),
            ("zoo:nothing", {}, ModelNotFound, "nothing"),
            ("zo:gpt2", {}, ModelNotFound, "zoo:NAME"),
            ("", {}, UsageProblem, "empty"),
            ("org/name@", {}, UsageProblem, "without a revision"),
            ("org/name@a", {"revision": "b"}, UsageProblem, "two revisions"),
            ("a b/c d", {}, ModelNotFound, "a b/c d"),
            ("./nowhere", {"revision": "b"}, UsageProblem, "no revisions"),
            ("./nowhere", {"device": "gpu"}, UsageProblem, "'gpu'"),
            ("./nowhere", {"dtype": "int3"}, UsageProblem, "float32"),
        ],
    )
    def test_bad_ones_are_named(self, id: str, options: dict[str, Any], error: type[InterpError], words: str) -> None:
        with pytest.raises(error, match=words):
            load(id, **options)


def test_load_imports_no_torch(directory: Path) -> None:
    script = (
        "import sys; from interp_assert import load; model = load(sys.argv[1]); repr(model), model.identity.sha256\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_infinity_in_a_config(tmp_path: Path) -> None:
    """Mamba-2 has no upper limit of its time steps, and JSON has no infinity."""
    module = mamba2()
    model = load(str(save(module, tmp_path)))
    assert "__float__" in (tmp_path / "config.json").read_text()
    assert list(model.config.time_step_limit) == [0.0, float("inf")]
    assert torch.equal(model.module(torch.arange(5)[None]).logits, module(torch.arange(5)[None]).logits)


def test_everything_about_a_directory(directory: Path) -> None:
    model = load(f"mine={directory}")
    assert (model.id, model.identity.kind, model.opened) == ("mine", "directory", False)
    assert model.architecture == "llama"
    assert (model.vocab_size, model.max_positions) == (64, 64)
    assert not model.opened
    assert model.device.type in ("cpu", "cuda")
    assert model.n_parameters == sum(parameter.numel() for parameter in llama().parameters())
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert model.tokenizer.bos_token_id == 1
    assert torch.equal(model.module(torch.arange(5)[None]).logits, llama()(torch.arange(5)[None]).logits)
    record = model.provenance()
    assert record == json.loads(json.dumps(record))
    assert record["sha256"] == model.identity.sha256
    assert record["dtype"] == "float32"
    assert {"torch", "transformers", "interp-assert", "numpy"} <= set(record["versions"])


@pytest.mark.shared
def test_a_real_model(shared: Path) -> None:
    model = load(str(shared / "models" / "stories260k"))
    assert (model.n_parameters, model.vocab_size, model.max_positions) == (260_032, 512, 512)
    assert model.tokenizer.bos_token == "<s>"


def test_a_recurrent_model_has_no_context_length(tmp_path: Path) -> None:
    model = load(str(save(mamba(), tmp_path / "mamba", tokenizer=False)))
    assert model.max_positions is None
    assert model.tokenizer is None
    assert "no tokenizer" in model.provenance()["bos"]


def test_tied_embeddings_are_not_missing(tmp_path: Path) -> None:
    module = load(str(save(gpt2(), tmp_path / "gpt2"))).module
    assert module.lm_head.weight is module.transformer.wte.weight


def test_shards(tmp_path: Path) -> None:
    directory = save(llama(), tmp_path / "sharded", max_shard_size="20KB")
    model = load(str(directory))
    assert model.n_parameters == sum(parameter.numel() for parameter in llama().parameters())
    shard = next(directory.glob("model-*.safetensors"))
    shard.unlink()
    with pytest.raises(ModelBroken, match=shard.name):
        load(str(directory))


class TestRefusals:
    def test_pickled_weights(self, directory: Path) -> None:
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
        with pytest.raises(ModelRefused, match=r"(?s)pytorch_model\.bin.*save_pretrained"):
            preflight(str(directory))

    def test_no_weights(self, directory: Path) -> None:
        (directory / "model.safetensors").unlink()
        with pytest.raises(ModelNotFound, match="no weights"):
            preflight(str(directory))

    def test_no_config(self, directory: Path) -> None:
        (directory / "config.json").unlink()
        with pytest.raises(ModelNotFound, match=r"no config\.json"):
            preflight(str(directory))

    @pytest.mark.parametrize("text", ["{", "[]", "\x00\xff"])
    def test_unreadable_config(self, directory: Path, text: str) -> None:
        (directory / "config.json").write_text(text, encoding="latin-1")
        with pytest.raises(ModelBroken, match=r"config\.json"):
            preflight(str(directory))

    def test_an_adapter(self, directory: Path) -> None:
        (directory / "adapter_config.json").write_text("{}")
        with pytest.raises(ModelRefused, match="merge_and_unload"):
            preflight(str(directory))

    def test_remote_code(self, directory: Path) -> None:
        edit_config(
            directory, model_type="novel", auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.M"}
        )
        with pytest.raises(ModelRefused, match="trust_remote_code=True"):
            preflight(str(directory))

    def test_an_unknown_architecture(self, directory: Path) -> None:
        edit_config(directory, model_type="novel")
        with pytest.raises(ModelRefused, match="'novel' is unknown"):
            preflight(str(directory))

    @pytest.mark.parametrize(
        ("kind", "architecture"),
        [
            ("t5", "T5ForConditionalGeneration"),
            ("bert", "BertForMaskedLM"),
            ("llama", "LlamaForSequenceClassification"),
        ],
    )
    def test_no_causal_language_model(self, directory: Path, kind: str, architecture: str) -> None:
        edit_config(directory, model_type=kind, architectures=[architecture])
        with pytest.raises(ModelRefused, match="no causal language model"):
            preflight(str(directory))

    def test_quantised_weights(self, directory: Path) -> None:
        edit_config(directory, quantization_config={"quant_method": "gptq", "bits": 4})
        with pytest.raises(ModelRefused, match="gptq"):
            preflight(str(directory))

    def test_a_file(self, directory: Path) -> None:
        with pytest.raises(ModelNotFound, match="is a file"):
            preflight(str(directory / "config.json"))


class TestDamage:
    @pytest.mark.parametrize("keep", [0, 4, 100, -1])
    def test_truncated_weights_are_found_without_torch(self, directory: Path, keep: int) -> None:
        path = directory / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ModelBroken, match=r"model\.safetensors is truncated"):
            preflight(str(directory))

    def test_no_safetensors_at_all(self, directory: Path) -> None:
        (directory / "model.safetensors").write_bytes(b"not a header at all" * 9)
        with pytest.raises(ModelBroken, match="no safetensors file"):
            preflight(str(directory))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_not_finite(self, directory: Path, value: float) -> None:
        name = "model.layers.1.mlp.up_proj.weight"
        edit_weights(directory, lambda weights: weights[name][3].fill_(value))
        with pytest.raises(ModelBroken, match=rf"{name}.*convert them again"):
            _ = load(str(directory)).module

    def test_missing_weights_are_never_filled_in(self, directory: Path) -> None:
        name = "model.layers.1.mlp.up_proj.weight"
        edit_weights(directory, lambda weights: weights.pop(name))
        with pytest.raises(ModelBroken, match=rf"{name}.*at random"):
            _ = load(str(directory)).module

    def test_weights_without_a_place(self, directory: Path) -> None:
        """Published checkpoints carry buffers of older versions, and other heads."""
        name = "model.layers.1.self_attn.old_mask"
        edit_weights(directory, lambda weights: weights.update({name: torch.ones(2)}))
        with pytest.warns(UserWarning, match=f"does not use {name}"):
            assert load(str(directory)).module

    def test_more_layers_than_the_config_builds(self, directory: Path) -> None:
        edit_config(directory, num_hidden_layers=1)
        with pytest.raises(ModelBroken, match=r"more layers than config\.json builds: model\.layers\.1\."):
            _ = load(str(directory)).module

    def test_wrong_shapes(self, directory: Path) -> None:
        edit_config(directory, intermediate_size=40)
        with pytest.raises(ModelBroken, match=r"wrong shapes.*save both again with save_pretrained"):
            _ = load(str(directory)).module

    def test_a_config_that_the_architecture_rejects(self, directory: Path) -> None:
        edit_config(directory, num_attention_heads="many")
        with pytest.raises(ModelBroken, match=r"config\.json is rejected"):
            _ = load(str(directory)).module

    def test_what_the_architecture_says_is_passed_on(self, directory: Path) -> None:
        edit_config(directory, num_attention_heads=3)
        with pytest.raises(ModelBroken, match=r"config\.json is rejected .*\(3\)"):
            _ = load(str(directory)).module

    def test_a_broken_tokenizer(self, directory: Path) -> None:
        (directory / "tokenizer.json").write_text("{}")
        with pytest.raises(ModelBroken, match=r"tokenizer\.json"):
            _ = load(str(directory)).tokenizer


def test_keys_that_load_kernels_are_stripped(directory: Path) -> None:
    plain = load(str(directory)).module.config._attn_implementation
    edit_config(
        directory,
        attn_implementation="kernels-community/flash-attn",
        _attn_implementation="eager",
        experts_implementation="org/kernel",
        fusion_config={"rms": True},
        transformers_weights="other.bin",
    )
    config = load(str(directory)).module.config
    assert config._attn_implementation == plain
    assert not hasattr(config, "fusion_config")


def test_a_directory_that_changes_after_load(directory: Path) -> None:
    model = load(str(directory))
    model.verify_unchanged()
    edit_weights(directory, lambda weights: weights["lm_head.weight"].mul_(2))
    with pytest.raises(ModelChanged, match=r"model\.safetensors"):
        model.verify_unchanged()
    with pytest.raises(ModelChanged, match=r"since its identity was taken"):
        _ = model.module


@pytest.mark.parametrize("gone", ["everything", "model.safetensors"])
def test_a_directory_that_is_removed_after_load(directory: Path, gone: str) -> None:
    model = load(str(directory))
    shutil.rmtree(directory) if gone == "everything" else (directory / gone).unlink()
    with pytest.raises(ModelChanged, match=r"model\.safetensors.* changed"):
        model.verify_unchanged()
    with pytest.raises(ModelChanged, match=r"since its identity was taken"):
        _ = model.module


def test_a_directory_that_changes_while_it_opens(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = opening.open_module

    def slow(*arguments: Any, **options: Any) -> Any:
        module = real(*arguments, **options)
        edit_config(directory, rms_norm_eps=0.5)
        return module

    monkeypatch.setattr(opening, "open_module", slow)
    with pytest.raises(ModelChanged, match=r"config\.json.*while it was being opened"):
        _ = load(str(directory)).module


class TestMemory:
    @pytest.mark.parametrize(("fits", "dtype"), [(1.5 * 4, torch.float32), (1.5 * 4 - 0.01, torch.bfloat16)])
    def test_the_dtype_is_the_one_that_fits(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, fits: float, dtype: torch.dtype
    ) -> None:
        n = sum(parameter.numel() for parameter in llama().parameters())
        monkeypatch.setattr(opening, "available_memory", lambda: int(fits * n))
        assert load(str(directory), device="cpu").dtype == dtype

    @pytest.mark.parametrize("dtype", [None, "float32", "bf16"])
    def test_what_does_not_fit_is_refused_before_loading(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, dtype: str | None
    ) -> None:
        monkeypatch.setattr(opening, "available_memory", lambda: 1000)
        with pytest.raises(ModelRefused, match=r"do(es)? not fit.*1000 bytes"):
            _ = load(str(directory), device="cpu", dtype=dtype).module

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
    def test_a_device_that_is_not_there(self, directory: Path) -> None:
        with pytest.raises(UsageProblem, match="'cuda' asked for"):
            _ = load(str(directory), device="cuda").module


class TestWrap:
    def test_a_module_in_hand(self) -> None:
        module = llama().train()
        gradients = [parameter.requires_grad for parameter in module.parameters()]
        model = wrap(module, id="mine")
        assert (model.id, model.identity.kind, model.tokenizer) == ("mine", "module", None)
        assert model.module is module
        assert not module.training
        assert [parameter.requires_grad for parameter in module.parameters()] == gradients
        assert wrap(llama()).identity.sha256 == model.identity.sha256 != wrap(llama(1)).identity.sha256
        assert model.provenance()["architecture"] == "llama"

    def test_changed_weights_are_noticed(self) -> None:
        module = llama()
        model = wrap(module)
        model.verify_unchanged()
        with torch.no_grad():
            module.lm_head.weight[3, 4] += 1
        with pytest.raises(ModelChanged):
            model.verify_unchanged()

    def test_what_is_no_language_model(self) -> None:
        for thing in ("gpt2", torch.nn.Linear(2, 2), llama().model):
            with pytest.raises(ModelRefused):
                wrap(thing)  # type: ignore[arg-type]


def test_the_meter_counts_and_times(directory: Path) -> None:
    model = load(str(directory))
    with model.metered() as span:
        model.meter.count(3, 7)
        assert span.tokens == 21
    model.meter.count(1, 1)
    assert (span.cost.forward_passes, span.cost.tokens) == (1, 21)
    assert span.seconds >= 0
    assert span.peak_memory >= 0


def test_remote_code_runs_only_when_it_is_trusted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.dynamic_module_utils

    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(directory.parent / "code"))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (directory / "novel.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class NovelConfig(LlamaConfig):\n    model_type = 'novel'\n"
        "class NovelForCausalLM(LlamaForCausalLM):\n    config_class = NovelConfig\n"
    )
    auto_map = {"AutoConfig": "novel.NovelConfig", "AutoModelForCausalLM": "novel.NovelForCausalLM"}
    edit_config(directory, model_type="novel", architectures=["NovelForCausalLM"], auto_map=auto_map)
    with pytest.raises(ModelRefused, match="trust_remote_code"):
        load(str(directory))
    model = load(str(directory), trust_remote_code=True)
    assert type(model.module).__name__ == "NovelForCausalLM"
    assert "novel.py" in model.identity.files
