"""RWKV-7: its equations against the package ``rwkv``, its two forms against each other, its anatomy and its files."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from interp_assert import load, wrap
from interp_assert.models import edits, twins
from interp_assert.models.recurrent import step_through
from interp_fixtures.zoo.architectures.rwkv7 import RWKV7Config, RWKV7ForCausalLM

ORACLE = Path(__file__).parents[1] / "oracles" / "rwkv7_package.py"
VOCAB, LAYERS, HEADS, SIZE = 60, 3, 4, 16
SHAPE = {"vocab_size": VOCAB, "hidden_size": HEADS * SIZE, "num_hidden_layers": LAYERS, "head_dim": SIZE}


def build(seed: int = 0, **options) -> RWKV7ForCausalLM:
    """A model in which every parameter is random, so that none can be left out unnoticed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RWKV7ForCausalLM(RWKV7Config(**SHAPE, **options))
        with torch.no_grad():
            for parameter in model.parameters():
                spread = 0.3 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
                parameter.add_(torch.randn_like(parameter), alpha=spread)
    return model.eval()


def random_ids(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def stepwise(model: RWKV7ForCausalLM, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (batch, pos, vocab) and states (batch, pos, layer, head, value, key), a token at a time."""
    state, logits, states = None, [], []
    for token in ids.split(1, dim=1):
        out = model(token, cache_params=state, use_cache=True)
        state = out.cache_params
        logits.append(out.logits[:, 0])
        states.append(torch.stack([layer.recurrent_states[0] for layer in state.layers], 1))
    return torch.stack(logits, 1), torch.stack(states, 1)


def reference_layout(model: RWKV7ForCausalLM) -> dict[str, torch.Tensor]:
    """The model's parameters under the names and in the shapes of the reference's checkpoints (x070)."""
    layout = {}
    for name, tensor in model.state_dict().items():
        name = name.removeprefix("rwkv.").replace("ln0.", "blocks.0.ln0.")
        if name.endswith(".att.r_k"):
            tensor = tensor.view(-1, model.config.head_dim)
        elif tensor.ndim == 1 and ".ln" not in name and not name.startswith("ln"):
            tensor = tensor.view(1, 1, -1)
        layout[name] = tensor.clone()
    return layout


def trained() -> RWKV7ForCausalLM:
    return load("zoo:rwkv7", dtype="float32").module


@pytest.mark.parametrize("which", [build, trained])
def test_it_computes_what_the_package_rwkv_computes(which, tmp_path):
    if find_spec("rwkv") is None:
        pytest.skip("needs the package rwkv, which extra rwkv-oracle installs")
    model, ids = which(), random_ids(2, 24)
    torch.save(reference_layout(model), tmp_path / "weights.pth")
    torch.save(ids, tmp_path / "ids.pt")
    files = [str(tmp_path / name) for name in ("weights.pth", "ids.pt", "out.pt")]
    subprocess.run([sys.executable, str(ORACLE), *files], check=True, capture_output=True, text=True)
    oracle = torch.load(tmp_path / "out.pt")
    with torch.no_grad():
        sequence = model(ids).logits
    steps, states = stepwise(model, ids)
    for row, theirs in enumerate(oracle):
        assert theirs["sequence"].std() > 1
        assert (theirs["sequence"] - sequence[row]).abs().max() < 1e-4
        assert (theirs["stepwise"] - steps[row]).abs().max() < 1e-4
        assert (theirs["states"] - states[row]).abs().max() < 1e-4


@torch.no_grad()
def test_both_forms_agree_and_a_sequence_may_be_cut_anywhere():
    model, ids = build(), random_ids(3, 20)
    whole = model(ids).logits
    assert (stepwise(model, ids)[0] - whole).abs().max() < 1e-4
    first = model(ids[:, :7], use_cache=True)
    rest = model(ids[:, 7:], cache_params=first.cache_params)
    assert (torch.cat((first.logits, rest.logits), 1) - whole).abs().max() < 1e-4
    assert model(ids).cache_params is None
    assert (model(ids[1:2]).logits - whole[1:2]).abs().max() < 1e-4, "rows do not meet"


def test_its_anatomy_is_proven_with_the_states():
    model, ids = wrap(build()), random_ids(2, 9)
    assert model.architecture == "zoo_rwkv7"
    assert model.max_positions is None
    assert [block.kinds for block in model.anatomy.blocks] == [("ssm", "mlp")] * LAYERS
    for site in ("resid_mid", "ssm.out", "ssm.y", "ssm.gated", "mlp.neurons", "mlp.out", "state"):
        for index in range(LAYERS):
            assert model.has(f"blocks.{index}.{site}"), site
    assert model.has("final_norm")
    assert model.has("embed")
    traced = model.trace(ids, "blocks.*.state")
    _, states = stepwise(model.module, ids)
    stepped = step_through(model, ids)
    for index in range(LAYERS):
        site = f"blocks.{index}.state"
        assert traced[site].shape == (2, 9, HEADS, SIZE, SIZE)
        assert (traced[site] - states[:, :, index]).abs().max() < 1e-4
        assert (traced[site] - stepped.states[site]).abs().max() < 1e-4


def test_a_state_that_is_written_takes_effect_at_its_step():
    model, ids = wrap(build()), random_ids(2, 9)
    plain = model.trace(ids, "blocks.1.state")
    edited = model.trace(ids, "blocks.1.state", {"blocks.1.state": edits.at(4, edits.zero())})
    changed = (edited.logits - plain.logits).abs().amax((0, 2))
    assert torch.equal(changed[:4], torch.zeros(4))
    assert changed[4:].min() > 1e-3
    assert torch.equal(edited["blocks.1.state"][:, :4], plain["blocks.1.state"][:, :4])
    assert not edited["blocks.1.state"][:, 4].any()


@pytest.mark.parametrize("tied", [True, False])
def test_its_directory_opens_like_any_other(tied, tmp_path):
    model, ids = build(tie_word_embeddings=tied, bos_token_id=3), random_ids(2, 9)
    model.save_pretrained(tmp_path)
    expected = model(ids).logits
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(plain(ids).logits, expected)
    assert (plain.head.weight is plain.rwkv.emb.weight) == tied
    opened = load(str(tmp_path))
    assert torch.equal(opened.trace(ids).logits, expected)
    assert (opened.class_name, opened.vocab_size, opened.config.bos_token_id) == ("RWKV7ForCausalLM", VOCAB, 3)
    for scheme in ("resample", "init"):
        logits = next(twins(opened, n=1, scheme=scheme)).trace(ids).logits
        assert not torch.allclose(logits, expected)


def test_it_generates_by_steps_what_it_would_by_whole_passes():
    model, ids = build(bos_token_id=0), random_ids(2, 5)
    expected = ids
    with torch.no_grad():
        for _ in range(6):
            expected = torch.cat((expected, model(expected).logits[:, -1:].argmax(-1)), 1)
    for use_cache in (True, False):
        options = {"max_new_tokens": 6, "do_sample": False, "use_cache": use_cache, "pad_token_id": 1}
        assert torch.equal(model.generate(ids, **options), expected)


def test_half_precision_keeps_its_states_in_float32():
    model, ids = build(), random_ids(2, 9)
    with torch.no_grad():
        expected = model(ids).logits
        out = model.to(torch.bfloat16)(ids, use_cache=True)
    assert out.logits.dtype == torch.bfloat16
    assert out.cache_params.layers[0].recurrent_states[0].dtype == torch.float32
    assert (out.logits.float() - expected).norm() < 0.1 * expected.norm()


def test_its_own_initialisation_is_seeded_and_leaves_out_nothing():
    config = RWKV7Config(**SHAPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = RWKV7ForCausalLM(config)
        torch.manual_seed(0)
        with torch.device("meta"):
            again = RWKV7ForCausalLM(config)
        again.to_empty(device="cpu")
        for tensor in again.parameters():
            tensor.data.fill_(float("nan"))
            tensor._is_hf_initialized = False
        for module in again.modules():
            module._is_hf_initialized = False
        again.initialize_weights()
    for name, parameter in again.named_parameters():
        assert torch.isfinite(parameter).all(), name
    decay = first.rwkv.blocks[0].att.w0
    assert decay[0] < decay[-1], "channels range from slow to fast"
    with torch.no_grad():
        assert 0.5 < first(random_ids(4, 12)).logits.std() / config.initializer_range / (HEADS * SIZE) ** 0.5 < 2


def test_what_it_refuses():
    model, ids = build(), random_ids(2, 5)
    mask = torch.ones_like(ids)
    assert torch.equal(model(ids, attention_mask=mask).logits, model(ids).logits)
    mask[0, 0] = 0
    with pytest.raises(ValueError, match="rows of equal length"):
        model(ids, attention_mask=mask)
    with pytest.raises(ValueError, match="hidden_size 50 is no multiple of head_dim 16"):
        RWKV7Config(hidden_size=50, head_dim=16)
