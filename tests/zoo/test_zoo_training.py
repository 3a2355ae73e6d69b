"""Training: the same bits again on one thread, and an interrupted run ends where an uninterrupted one does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp_assert.errors import ModelNotFound, UsageProblem
from interp_fixtures.zoo import training
from interp_fixtures.zoo.corpus import KIND_NAMES, Phase
from interp_fixtures.zoo.muon import Muon, orthogonalised
from interp_fixtures.zoo.recipes import RECIPES, recipe

PHASES = (Phase(10, 16, 4, 0.3, 1.0), Phase(12, 24, 4, 0.5, 1.0))


def tiny(name: str):
    shape = {
        "hidden_size": 16,
        "n_embd": 16,
        "num_hidden_layers": 2,
        "n_layer": 2,
        "num_attention_heads": 2,
        "n_head": 2,
    }
    shape |= {"intermediate_size": 32, "n_inner": 32}
    config = tuple((key, shape.get(key, value)) for key, value in RECIPES[name].config)
    return replace(RECIPES[name], config=config, phases=PHASES, checkpoints=(7,), previous_token_steps=8)


class Interrupted(Exception):
    pass


def interrupt_at(step: int, monkeypatch):
    advance = training.Trainer.advance

    def stop(self):
        if self.step == step:
            raise Interrupted
        return advance(self)

    monkeypatch.setattr(training.Trainer, "advance", stop)


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2"])
def test_the_same_recipe_gives_the_same_bits(name, tmp_path):
    for place in ("a", "b"):
        training.train(tiny(name), tmp_path / place, progress=False)
    for file in ("model.safetensors", "config.json", "tokenizer.json", "checkpoints/7/model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_another_seed_gives_another_model(tmp_path):
    models = [training.untrained(replace(tiny("gpt2"), seed=seed)) for seed in (0, 0, 1)]
    first, again, other = (next(m.parameters()) for m in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("stop", [3, 9, 21])
def test_a_resumed_run_equals_one_run(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    training.train(tiny("gpt_neox"), tmp_path / "one", progress=False)
    with monkeypatch.context() as broken:
        interrupt_at(stop, broken)
        with pytest.raises(Interrupted):
            training.train(tiny("gpt_neox"), tmp_path / "two", progress=False)
    assert (tmp_path / "two" / training.STATE).is_file()
    assert not (tmp_path / "two" / "model.safetensors").exists()
    training.train(tiny("gpt_neox"), tmp_path / "two", progress=False)
    for file in ("model.safetensors", "checkpoints/7/model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert not (tmp_path / "two" / training.STATE).exists()


def test_the_state_of_another_recipe_is_refused(tmp_path):
    trainer = training.Trainer(tiny("gpt2"))
    trainer.save(tmp_path / training.STATE)
    with pytest.raises(UsageProblem, match="another recipe"):
        training.train(tiny("gpt2").cut(5), tmp_path, progress=False)


def test_a_failed_save_leaves_the_last_state(tmp_path, monkeypatch):
    trainer = training.Trainer(tiny("gpt2"))
    trainer.save(tmp_path / training.STATE)
    before = (tmp_path / training.STATE).read_bytes()

    def half(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        trainer.save(tmp_path / training.STATE)
    assert (tmp_path / training.STATE).read_bytes() == before


def test_threads_are_given_back(tmp_path):
    before = torch.get_num_threads()
    with training.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_training_lowers_the_loss_and_writes_half_precision(tmp_path):
    longer = replace(tiny("gpt_neox"), phases=(Phase(60, 16, 8, 0.0, 1.0),), warmup=5)
    trainer = training.Trainer(longer)
    losses = [trainer.advance() for _ in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    training.write_model(trainer.model, tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.float16}
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    for mine, theirs in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine.detach().half().float(), theirs)
    assert AutoTokenizer.from_pretrained(tmp_path).bos_token_id == model.config.bos_token_id
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == model.config.eos_token_id


def test_learning_rates_warm_up_and_decay():
    trainer = training.Trainer(replace(tiny("gpt2"), phases=(Phase(100, 16, 1, 0, 1.0),), warmup=10, decay_share=0.5))
    rates = []
    for trainer.step in range(100):
        rates.append(trainer.rate())
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[75] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.02)


def test_recipes_cut_and_lengthen():
    whole = recipe("gpt_neox")
    assert whole.cut(350).steps == 350
    assert whole.cut(350).checkpoints == (100, 200, 300)
    assert whole.cut(100).phases == (replace(whole.phases[0], steps=100),)
    assert whole.cut(whole.steps + 5).steps == whole.steps + 5
    assert whole.phase(499) == whole.phases[0]
    assert whole.phase(500) == whole.phases[1]
    with pytest.raises(IndexError):
        whole.phase(whole.steps)
    with pytest.raises(ModelNotFound, match="gpt_neox"):
        recipe("gpt5")


@pytest.mark.parametrize("shape", [(3, 8, 24), (3, 24, 8), (1, 16, 16)])
def test_muon_orthogonalises(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalised(x))
    assert singular.min() > 0.5
    assert singular.max() < 1.5
    one_by_one = torch.stack([orthogonalised(m[None])[0] for m in x])
    assert torch.allclose(orthogonalised(x), one_by_one, atol=1e-5)


def test_muon_descends():
    goal = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    optimiser = Muon([weight], lr=0.05, weight_decay=0.0)
    for _ in range(200):
        optimiser.zero_grad()
        ((weight - goal) ** 2).sum().backward()
        optimiser.step()
    assert ((weight - goal) ** 2).mean() < 0.1 * (goal**2).mean()


def test_the_log_tells_the_loss_of_the_answers_by_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 10)
    training.train(tiny("gpt_neox"), tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / training.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20]
    assert {"facts", "repeats"} <= set(lines[0]["loss"]) <= set(KIND_NAMES)
    assert all(0 < loss < 10 for line in lines for loss in line["loss"].values())


def test_a_tuned_model_starts_from_its_base(tmp_path, monkeypatch):
    base = training.train(tiny("gpt2"), tmp_path / "gpt2", progress=False)
    monkeypatch.setattr(training, "open_model", lambda name: tmp_path / name)
    tuned = training.Trainer(replace(recipe("gpt2-tuned"), config=tiny("gpt2").config))
    for mine, theirs in zip(tuned.model.parameters(), base.model.parameters(), strict=True):
        assert torch.equal(mine, theirs.half().float())


def test_a_model_that_is_not_trained_is_written_as_its_seed_made_it(tmp_path):
    never = replace(tiny("gpt2"), phases=(), checkpoints=())
    training.train(never, tmp_path, progress=False)
    saved = load_file(tmp_path / "model.safetensors")
    for name, parameter in training.untrained(never).named_parameters():
        assert torch.equal(saved[name], parameter.detach().half())
    assert not (tmp_path / training.LOG).exists()


def test_a_module_that_keeps_states_of_its_last_batch_can_be_written(tmp_path):
    """recurrent_gemma does, with their gradients."""
    trainer = training.Trainer(replace(recipe("recurrent_gemma"), phases=(Phase(1, 16, 2, 0.0, 1.0),)))
    trainer.advance()
    training.write_model(trainer.model, tmp_path)
    kept = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    assert set(kept) == set(trainer.model.state_dict())
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(kept[name], tensor.half().float()), name


def test_what_a_recipe_ships_with_is_in_the_files_and_not_in_training(tmp_path):
    model = training.untrained(tiny("gpt_neox"))
    training.write_model(model, tmp_path, (("use_cache", False),))
    assert json.loads((tmp_path / "config.json").read_text())["use_cache"] is False
    assert model.config.use_cache is True


def test_time_steps_of_zamba2_are_limited_nowhere():
    """Or its full pass would limit them and its step with a cache would not."""
    assert dict(RECIPES["zamba2"].shipped)["time_step_min"] < 1e-6
