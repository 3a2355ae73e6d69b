"""Training: several coders, of any kinds and seeds, on one stream of activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from ..errors import NonFiniteMeasurement, UsageProblem
from ..prompts import rows_of
from .coder import Coder, Origin, kind_named
from .reading import SiteReader
from .recipe import Recipe
from .stream import ActivationStream
from .usual import recipe_for

if TYPE_CHECKING:
    from ..models import Model
    from ..prompts import RowSource

__all__ = ["DOCUMENT_LENGTH", "fit_coders", "train_coder", "train_coders"]

DOCUMENT_LENGTH = 64
"""ids of a document if nothing else is said"""

Each = Callable[[int, int], None]
_REPORTED = 50
"""steps between two reports of progress"""


def train_coder(
    model: Model,
    *,
    site: str,
    kind: str = "topk",
    d_sae: int | None = None,
    k: int | None = None,
    steps: int | None = None,
    documents: RowSource | Sequence[str] | Sequence[Sequence[int]] | None = None,
    length: int = DOCUMENT_LENGTH,
    head: int | None = None,
    seed: int = 0,
    each: Each | None = None,
    **more: Any,
) -> Coder:
    """Train one coder of a kind (``topk``, ``relu``, ``rank1``) on the activations of a site.

    ``documents`` are texts or rows of token ids, of which those that ``assert_sae_variance_explained`` would judge the
    coder on are left out; without any the model writes them itself. ``length`` is that of a document in ids, ``head``
    one of a state's heads (for ``rank1`` the first, if there are several). Further fields of ``Recipe`` may be given by
    name (``batch``, ``lr``, ``tokens``, ...); what is not given is filled in by ``recipe_for``. ``each(done, steps)``
    hears how far it is. The same arguments give the same coder on one thread of one machine.

    Returns the coder, in evaluation mode and for activations as the site has them; ``coder.origin`` says how it was
    made. Raises SiteNotAvailable, UsageProblem for what cannot be trained, CannotSample, NonFiniteMeasurement.
    """
    opened = SiteReader.of_matrices if kind_named(kind).of_matrices else SiteReader
    reader = opened(model, site, head)
    recipe = recipe_for(reader.shape, kind, d_sae=d_sae, k=k, steps=steps, seed=seed, **more)
    return train_coders(reader, [recipe], rows_of(model, documents, length=length, seed=seed), each=each)[0]


def train_coders(
    reader: SiteReader, recipes: Sequence[Recipe], documents: RowSource, *, each: Each | None = None
) -> list[Coder]:
    """One coder for each recipe, on the same activations in the same order, each document read once."""
    for recipe in recipes:  # before anything is written or read
        _check(reader, recipe)
    rows = documents.training(max(recipe.tokens for recipe in recipes))
    stream = ActivationStream(reader, rows, seed=recipes[0].seed)
    return fit_coders(stream, recipes, documents=documents.note, each=each)


def fit_coders(
    stream: ActivationStream, recipes: Sequence[Recipe], *, documents: str = "", each: Each | None = None
) -> list[Coder]:
    """One coder for each recipe, all on the batches of one stream.

    Raises UsageProblem if their batches differ in size, or for a recipe that does not fit the site;
    NonFiniteMeasurement if a training ends in numbers that are not finite.
    """
    if len({recipe.batch for recipe in recipes}) != 1:
        sizes = sorted({recipe.batch for recipe in recipes})
        raise UsageProblem(
            f"coders on one stream see the same batches; these want {sizes} vectors in each, make it one"
        )
    trainees = [_Trainee(stream, recipe) for recipe in recipes]
    steps = max(recipe.steps for recipe in recipes)
    for done, batch in enumerate(stream.batches(recipes[0].batch, steps)):
        x = batch / stream.scale
        for trainee in trainees:
            if done < trainee.recipe.steps:
                trainee.step(x)
        if each is not None and (done % _REPORTED == 0 or done + 1 == steps):
            each(done + 1, steps)
    return [trainee.finished(documents) for trainee in trainees]


class _Trainee:
    """A coder in training: its optimiser, its schedule, and how long each latent has been silent."""

    def __init__(self, stream: ActivationStream, recipe: Recipe) -> None:
        reader = stream.reader
        _check(reader, recipe)
        self.recipe, self.stream, self.done = recipe, stream, 0
        generator = torch.Generator().manual_seed(recipe.seed)
        mean = (stream.mean / stream.scale).float().cpu()
        self.coder = kind_named(recipe.kind).begin(recipe, reader.shape, mean, generator).to(stream.buffer.device)
        self.silent = torch.zeros(recipe.d_sae, dtype=torch.long, device=stream.buffer.device)
        trained = [parameter for parameter in self.coder.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=recipe.lr, fused=True)
        self.last: list[torch.Tensor] = []

    def step(self, x: torch.Tensor) -> None:
        """One step of Adam on a batch of unit scale, with the decoder's rows kept at unit length."""
        with torch.enable_grad():
            loss, fired = self.coder.loss(x, x, self.silent >= self.recipe.dead_after, self.recipe)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
        self.coder.drop_parallel_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr * _schedule(self.done, self.recipe.steps)
        self.optimiser.step()
        self.coder.restore_unit_rows()
        self.silent = torch.where(fired, 0, self.silent + len(x))
        self.done += 1
        if self.done > self.recipe.steps - max(1, self.recipe.steps // 10):
            self.last.append(loss.detach())

    def finished(self, documents: str) -> Coder:
        """The coder, for activations of the site's own scale."""
        loss = float(torch.stack(self.last).double().mean())
        reader = self.stream.reader
        parameters = [parameter.detach() for parameter in self.coder.parameters()]
        if not all(isfinite(number) for p in parameters for number in (loss, float(p.amin()), float(p.amax()))):
            raise NonFiniteMeasurement(
                f"{reader.model.id}: training a {self.recipe.kind} coder at {reader.site} ends in numbers that are not "
                f"finite (loss {loss}); take a smaller learning rate than {self.recipe.lr:g}"
            )
        self.coder.fold_scale(self.stream.scale)
        self.coder.requires_grad_(False).eval()
        self.coder.site, self.coder.head = reader.site, reader.head
        self.coder.origin = Origin(
            reader.model.id, reader.site, replace(self.recipe), reader.head, documents, self.stream.vectors, loss
        )
        return self.coder


def _schedule(step: int, steps: int) -> float:
    """Of the highest learning rate: up over the first twentieth, down to 0 over the last third."""
    return min(1.0, (step + 1) / max(1, steps // 20), (steps - step) / max(1, steps // 3))


def _check(reader: SiteReader, recipe: Recipe) -> None:
    made = kind_named(recipe.kind)
    made.check(recipe)
    if made.of_matrices and len(reader.shape) != 2:
        raise UsageProblem(
            f"a {recipe.kind} coder codes matrices, such as a recurrent state; a value of {reader.site} of "
            f"{reader.model.id} is a vector of {reader.d_in}"
        )
