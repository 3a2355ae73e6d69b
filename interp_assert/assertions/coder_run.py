"""A coder on a model, the coders and projections that it is compared with, and the documents that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..controls import (
    BetterByDocument,
    TwinScore,
    frozen_decoder_control,
    pca_control,
    principal_components,
    random_weights,
    with_frozen_decoder,
)
from ..errors import ModelBroken, ModelRefused, NonFiniteMeasurement
from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate
from .progress import report

if TYPE_CHECKING:
    from ..coders import Coder, CoderScores, Recipe, SiteReader
    from ..models import Model
    from ..prompts import RowSource

__all__ = ["VERSION", "CoderRun", "Compared"]

VERSION = 1
"""of the definition; raised when the same model would get other numbers"""

_SAMPLE = 2**24
"""numbers of the training activations that principal components are taken from"""


@dataclass(frozen=True)
class Compared:
    """What the comparisons of a coder are made with."""

    pi: float
    margin: float
    """on the scale -log(1 - VE), by which a document must be explained better than by PCA or by frozen atoms"""
    levels: ErrorLevels
    twin_documents: int
    """the first documents, on which model and twins are compared"""
    population: int | None
    """documents to judge on, if they are a finite list"""


class CoderRun:
    """Trains what is not given, then judges it on documents as they are drawn.

    Made with the documents to train on, which are read once, for the coder, its frozen twin and the principal
    components alike. ``recipe`` is None for a given coder of which nobody knows how it was trained: then what has to be
    retrained is left out, and told.
    """

    def __init__(
        self,
        check: str,
        reader: SiteReader,
        documents: RowSource,
        coder: Coder | None,
        recipe: Recipe | None,
        compared: Compared,
        seed: int,
        training_tokens: int,
    ) -> None:
        from ..coders.stream import ActivationStream
        from ..coders.training import fit_coders

        self.check, self.reader, self.documents, self.recipe = check, reader, documents, recipe
        self.compared, self.seed = compared, seed
        self.rows = documents.training(training_tokens)
        stream = ActivationStream(reader, self.rows, seed=seed)
        self.vectors, self.mean = stream.vectors, stream.mean
        self._components = stream.sample(_SAMPLE).clone()
        own = [] if coder is not None or recipe is None else [recipe]
        frozen = [] if recipe is None else [with_frozen_decoder(recipe)]
        trained = fit_coders(stream, own + frozen, documents=documents.note, each=self._each("")) if recipe else []
        self.coder = coder if coder is not None else trained[0]
        self.frozen = trained[-1] if recipe is not None else None
        self._judged: list[Any] = []
        self._scores: list[CoderScores] = []
        self._pca: BetterByDocument | None = None
        self._frozen: BetterByDocument | None = None
        self.gate = SequentialGate(compared.pi)
        self.tau: float | None = None

    @property
    def scores(self) -> CoderScores:
        """Of the coder, on all documents drawn so far."""
        return self._scores[0]

    @property
    def drawn(self) -> int:
        """Documents judged so far."""
        return len(self._scores[0].documents) if self._scores else 0

    def measure(self, start: int, count: int) -> None:
        """Judge documents start .. start + count - 1, unless that is done."""
        from ..coders.metrics import evaluate_coders

        if start + count <= self.drawn:
            return
        if not self._judged:
            self._prepare(self.documents.evaluation(0, min(count, self.compared.twin_documents)))
        new = evaluate_coders(self.reader, self._judged, self.documents.evaluation(start, count), self.mean)
        self._scores = [old.extend(more) for old, more in zip(self._scores, new, strict=True)] if self._scores else new
        self._feed_controls([scores.by_document for scores in new])

    def open_gate(self, tau: float | None, levels: ErrorLevels) -> None:
        """From now on every document counts for or against VE >= ``tau``; those judged before are counted now. Where
        nobody knows ``tau`` none counts.
        """
        self.tau = tau
        self.gate = SequentialGate(self.compared.pi, levels=levels, population=self.compared.population)
        self._counted = 0
        self._feed_gate()

    def draw(self, start: int, count: int) -> None:
        """Judge further documents and feed the gates."""
        self.measure(start, count)
        self._feed_gate()

    def outcomes(self) -> list[Outcome]:
        """Of the claim and of the controls that are decided document by document."""
        others = [control.gate.outcome for control in (self._pca, self._frozen) if control is not None]
        return [self.gate.outcome, *others]

    def measurement(self) -> Measurement:
        """VE of each document, about the mean of the training stream."""
        scores = self.scores
        return Measurement(
            "coders/variance explained", VERSION, scores.documents, scores.by_document, -np.inf, 1.0,
            "share of variance", "higher",
        )  # fmt: skip

    def pca_result(self) -> ControlResult:
        """Principal components against the coder, on the documents drawn."""
        assert self._pca is not None
        return self._pca.result(self._scores[1].variance_explained)

    def frozen_result(self) -> ControlResult:
        """Frozen random atoms against the coder, on the documents drawn."""
        if self._frozen is None:
            return _left_out("frozen_decoder")
        return self._frozen.result(self._scores[2].variance_explained)

    def twins_result(self, n: int | None, scheme: str) -> ControlResult:
        """The same recipe retrained on random-weights twins, on the first documents, on the scale -log(1 - VE)."""
        if self.recipe is None:
            return _left_out("random_weights")
        first = self.documents.evaluation(0, min(self.drawn, self.compared.twin_documents))
        level, fail_level = self.compared.levels.control, self.compared.levels.control_fail
        own = _as_twin_score(self.scores.head(len(first)))

        def each(k: int) -> None:
            report(f"{self.check} (random-weights twin {k})", self.reader.model.id, len(first), len(first))

        def measure(twin: Model) -> TwinScore:
            return self._retrained(twin, first)

        model, seed = self.reader.model, self.seed
        return random_weights(
            model, own, measure, scheme=scheme, n=n, seed=seed, level=level, fail_level=fail_level, each=each
        )

    def init_result(self) -> ControlResult:
        """A freshly initialised twin, retrained too: reported, never required, since it may reconstruct as well."""
        from ..models import twins

        if self.recipe is None:
            return _left_out("init_twin")
        first = self.documents.evaluation(0, min(self.drawn, self.compared.twin_documents))
        own = self.scores.head(len(first)).pooled.about_centre
        note, value = "", None
        try:
            with twins(self.reader.model, scheme="init", n=1, seed=self.seed) as initialised:
                value = self._retrained(next(initialised), first).value
                note = f"VE {value:.3f} of the same recipe on the architecture's own initialisation; reported only"
        except (ModelRefused, ModelBroken, NonFiniteMeasurement) as problem:
            note = f"not measured: {problem}"
        return ControlResult(
            "init_twin", Outcome.INCONCLUSIVE, own, None, value, len(first), True, False, note,
            {"scheme": "init", "variance_explained": value},
        )  # fmt: skip

    def _retrained(self, twin: Model, documents: Sequence[tuple[str, Sequence[int]]]) -> TwinScore:
        from ..coders.metrics import evaluate_coders
        from ..coders.stream import ActivationStream, NothingVaries
        from ..coders.training import fit_coders

        assert self.recipe is not None
        reader = self.reader.on(twin)
        try:
            stream = ActivationStream(reader, self.rows, seed=self.seed)
            [coder] = fit_coders(stream, [self.recipe])
            [scores] = evaluate_coders(reader, [coder], documents, stream.mean)
        except NothingVaries as problem:  # of the twin, not of the request
            raise NonFiniteMeasurement(str(problem)) from problem
        return _as_twin_score(scores)

    def _prepare(self, first: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Choose the rank of the projection: the coder's mean number of active latents on the first documents."""
        from ..coders.metrics import evaluate_coders

        [scores] = evaluate_coders(self.reader, [self.coder], first, self.mean)
        rank = min(max(1, round(scores.l0 or 0.0)), self.reader.d_in)
        compared = self.compared
        rest = (compared.margin, compared.pi, compared.levels)
        self._pca = pca_control(rank, *rest, population=compared.population)
        self._judged = [self.coder, principal_components(self._components, self.mean, rank)]
        del self._components
        if self.frozen is not None:
            self._frozen = frozen_decoder_control(*rest, population=compared.population)
            self._judged.append(self.frozen)

    def _feed_controls(self, explained: Sequence[NDArray[np.float64]]) -> None:
        assert self._pca is not None
        self._pca.update(explained[0], explained[1])
        if self._frozen is not None:
            self._frozen.update(explained[0], explained[2])

    def _feed_gate(self) -> None:
        if self.tau is not None and self.gate.outcome is Outcome.INCONCLUSIVE:
            reached = self.scores.by_document[self._counted :] >= self.tau
            self.gate.update(reached.astype(np.float64))
            self._counted = self.drawn

    def _each(self, what: str) -> Any:
        def each(done: int, steps: int) -> None:
            report(f"{self.check} (training{what})", self.reader.model.id, done, steps)

        return each


def _as_twin_score(scores: CoderScores) -> TwinScore:
    return TwinScore.variance_explained([s.residual for s in scores.sums], [s.total for s in scores.sums])


def _left_out(name: str) -> ControlResult:
    note = "not measured: nobody knows how this coder was trained, so it cannot be retrained; give recipe="
    return ControlResult(name, Outcome.INCONCLUSIVE, None, None, None, 0, True, False, note)
