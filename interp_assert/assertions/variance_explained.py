"""``assert_sae_variance_explained``: a sparse coder explains the variance of a site's activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..controls import TWIN_MARGIN
from ..errors import SiteNotAvailable, UsageProblem
from ..prompts import CannotSample, rows_of
from ..stats import Budget, ControlResult, ErrorLevels, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .coder_report import coder_details
from .coder_run import CoderRun, Compared
from .engine import draw_until_decided, halvings
from .judging import judged
from .reasons import changed_settings, not_applicable, reproduce
from .recording import conclude

if TYPE_CHECKING:
    from ..coders import Coder, Recipe, SiteReader
    from ..models import Model
    from ..prompts import RowSource

__all__ = ["CHECK", "DEFAULTS", "VarianceDefaults", "assert_sae_variance_explained"]

CHECK = "coders/variance_explained"


@dataclass(frozen=True)
class VarianceDefaults:
    """What ``assert_sae_variance_explained`` claims and compares with if nothing else is said."""

    pi: float = 0.5
    """share of documents that must be explained that well"""
    length: int = 64
    """ids of a document"""
    margin: float = TWIN_MARGIN
    """on the scale -log(1 - VE), by which a document must be explained better than by PCA and by frozen atoms"""
    first_batch: int = 64
    """documents judged before the gates are first asked; doubled from then on"""
    twin_documents: int = 64
    """the first documents, on which coders of model and twins are compared"""
    least_documents: int = 16
    """of a corpus, to judge on"""
    large: int = 20_000_000
    """parameters above which a coder that is trained here has only twice as many latents as dimensions"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = VarianceDefaults()


@asserted
def assert_sae_variance_explained(
    model: Model,
    coder: Coder | None = None,
    *,
    site: str | None = None,
    kind: str = "topk",
    floor: float | None = None,
    pi: float = DEFAULTS.pi,
    d_sae: int | None = None,
    k: int | None = None,
    steps: int | None = None,
    recipe: Recipe | None = None,
    head: int | None = None,
    documents: RowSource | Sequence[str] | Sequence[Sequence[int]] | None = None,
    length: int = DEFAULTS.length,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that a sparse coder explains the activations of ``site`` (the middle block's ``resid_post``, for ``rank1``
    its recurrent state, of the first head if it has several).

    With ``floor``: at least a share ``pi`` of documents have a variance explained of ``floor`` or more. Without, the
    floor is what the same recipe could reach on a random-weights twin, plus a margin. A document is ``length`` ids; its
    VE is about the mean of the training activations. Documents are written by the model itself, or come from a corpus
    of texts or token rows, of which half, chosen by content, is to judge on: then the claim is about that list.

    The ``coder`` is the given one (``train_coder``, ``load_coder``), at the site that it says unless another is given,
    or it is trained: ``kind``, ``d_sae``, ``k``, ``steps``, or a whole ``recipe``. For a model of more than 20 million
    parameters it has twice as many latents as dimensions and is called undertrained. Required controls: the recipe
    retrained on random-weights ``twins`` (approximate), PCA of as many components as latents are active, and the recipe
    with its random atoms frozen, all on the scale -log(1 - VE). Of a given coder whose recipe is not known only PCA is
    required. An initialised twin is reported, never required: coders reconstruct it as well as a trained model.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable if the model lacks
    the site or cannot write documents; UsageProblem for impossible arguments, a coder of another width or a site that
    is the same on all tokens; NonFiniteMeasurement if activations or reconstructions are not finite.
    """
    model = model_of(model)
    levels, seed, twins, allowed = levels_of(levels), seed_of(seed), twins_of(twins), budget_of(budget)
    pi, floor = share_of("pi", pi), _floor_of(floor)
    _check_given(coder, recipe, floor, d_sae, k, steps)
    site = _site_of(model, site, coder, recipe.kind if recipe is not None else kind)
    head = coder.head if head is None and coder is not None else head
    settings: dict[str, Any] = {"site": site, "pi": pi, "floor": floor, "seed": seed}
    if model.identity.kind != "module" and coder is None and documents is None and recipe is None:
        changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
        chosen = {"kind": kind, "floor": floor, "pi": pi, "d_sae": d_sae, "k": k, "steps": steps, "head": head}
        settings["reproduce"] = reproduce(
            "assert_sae_variance_explained", model.id, site=site, **chosen, length=length, seed=seed, **changed
        )
    with model.metered() as span, halvings() as halved:
        try:
            reader = _reader(model, site, head, kind if recipe is None else recipe.kind, coder)
            settings["head"] = reader.head
            source = rows_of(model, documents, length=length, seed=seed)
            recipe, undertrained = _recipe(reader, coder, recipe, kind, d_sae, k, steps, seed)
            at_most = _at_most(source, allowed)
            population = None if source.population is None else at_most
            compared = Compared(pi, DEFAULTS.margin, levels, DEFAULTS.twin_documents, population)
            tokens = 16384 if recipe is None else recipe.tokens
            run = CoderRun(CHECK, reader, source, _placed(coder, reader), recipe, compared, seed, tokens)
            run.measure(0, min(DEFAULTS.first_batch, at_most))
        except (SiteNotAvailable, CannotSample) as problem:
            claim = _claim(site, pi, floor, None, False)
            return conclude(not_applicable(CHECK, model, site, claim, str(problem), levels, settings, span.cost))
        twin_control = run.twins_result(twins, scheme) if floor is None else None
        run.open_gate(floor if twin_control is None else twin_control.threshold, levels)
        if run.tau is not None:  # else nothing says what a document has to reach, and drawing more would not either
            draw_until_decided(
                CHECK,
                model.id,
                first=DEFAULTS.first_batch,
                at_most=at_most,
                draw=run.draw,
                outcomes=run.outcomes,
            )
        twin_control = twin_control or run.twins_result(twins, scheme)
        init = run.init_result()
        details = settings | coder_details(run, init, undertrained) | {"batch_halvings": halved}
    details["quantity"] = "share of documents" + ("" if run.tau is None else f" with VE of {run.tau:.3f} or more")
    verdict = judged(
        CHECK,
        model,
        run.gate,
        (_as_claim(twin_control, floor), run.pca_result(), run.frozen_result(), init),
        claim=_claim(site, pi, floor, run.tau, undertrained),
        levels=levels,
        details=details,
        cost=span.cost,
        layer=site,
        measurements=(run.measurement(),),
    )
    return conclude(verdict)


def _floor_of(floor: float | None) -> float | None:
    if floor is None:
        return None
    if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not isfinite(floor) or floor >= 1.0:
        raise UsageProblem(f"floor={floor!r}: a variance explained is a number below 1")
    return float(floor)


def _check_given(
    coder: Coder | None, recipe: Recipe | None, floor: float | None, d_sae: int | None, k: int | None, steps: int | None
) -> None:
    from ..coders import Coder as CoderClass
    from ..coders import Recipe as RecipeClass

    if coder is not None and not isinstance(coder, CoderClass):
        raise UsageProblem(
            f"a coder is what train_coder or load_coder returns, not {type(coder).__name__}; save a SAELens coder with "
            "save_model(directory) and load_coder(directory)"
        )
    if recipe is not None and not isinstance(recipe, RecipeClass):
        raise UsageProblem(f"recipe={recipe!r} must be a Recipe, as recipe_for(d_in, kind, ...) makes it")
    if (coder is not None or recipe is not None) and any(value is not None for value in (d_sae, k, steps)):
        raise UsageProblem("d_sae, k and steps are for a coder that is trained here; what is given has its own")
    known = recipe is not None or coder is None or coder.origin is not None
    if floor is None and not known:
        raise UsageProblem(
            "without floor= a coder has to beat the same recipe on random-weights twins, and nobody knows how this one "
            f"was trained: give floor= (--interp-floor {CHECK}=), or the recipe="
        )


def _site_of(model: Model, site: str | None, coder: Coder | None, kind: str) -> str:
    from ..coders import kind_named

    if site is not None and not isinstance(site, str):
        raise UsageProblem(f"site={site!r} must be a name, such as 'blocks.2.resid_post'")
    if site is not None:
        return site
    if coder is not None and coder.site is not None:
        return coder.site
    if coder is not None:
        raise UsageProblem("say which site the coder is for, such as site='blocks.2.resid_post'")
    middle = model.anatomy.n_blocks // 2
    if not kind_named(kind).of_matrices:
        return f"blocks.{middle}.resid_post"
    states = [i for i in range(model.anatomy.n_blocks) if model.anatomy.has(f"blocks.{i}.state")]
    return f"blocks.{min(states, key=lambda i: abs(i - middle), default=middle)}.state"


def _reader(model: Model, site: str, head: int | None, kind: str, coder: Coder | None) -> SiteReader:
    from ..coders import SiteReader, kind_named

    if coder is None and kind_named(kind).of_matrices:
        return SiteReader.of_matrices(model, site, head)
    return SiteReader(model, site, head)


def _recipe(
    reader: SiteReader,
    coder: Coder | None,
    recipe: Recipe | None,
    kind: str,
    d_sae: int | None,
    k: int | None,
    steps: int | None,
    seed: int,
) -> tuple[Recipe | None, bool]:
    """How the coder was or is to be trained, None if nobody knows; and whether that is less than it needs."""
    from ..coders import recipe_for

    if recipe is not None:
        return recipe, False
    if coder is not None:
        return (None if coder.origin is None else coder.origin.recipe), False
    large = reader.model.n_parameters > DEFAULTS.large
    width = 2 * int(reader.model.anatomy.d_model) if large and d_sae is None else d_sae
    return recipe_for(reader.shape, kind, d_sae=width, k=k, steps=steps, seed=seed), large and d_sae is None


def _placed(coder: Coder | None, reader: SiteReader) -> Coder | None:
    """A given coder on the model's device; raises UsageProblem if it is for another width."""
    if coder is None:
        return None
    if coder.d_in != reader.d_in:
        raise UsageProblem(
            f"the coder is for activations of width {coder.d_in}; {reader.site} of {reader.model.id} has {reader.d_in}"
        )
    if coder.of_matrices and coder.shape != reader.shape:
        raise UsageProblem(
            f"the coder is for matrices of {coder.shape}; {reader.site} of {reader.model.id} has {reader.shape}"
        )
    return coder.to(reader.model.device)


def _at_most(source: RowSource, allowed: Budget) -> int:
    """Documents that may be drawn."""
    if source.population is None:
        return allowed.clusters
    if source.population < DEFAULTS.least_documents:
        raise UsageProblem(
            f"{source.population} documents to judge on, at least {DEFAULTS.least_documents} are needed "
            f"({source.note}); give more documents, or a smaller length"
        )
    return min(source.population, allowed.clusters)


def _as_claim(twins: ControlResult, floor: float | None) -> ControlResult:
    """Without a floor the comparison with twins has set the claim's threshold: one twin then cannot be advisory."""
    if floor is not None:
        return twins
    return replace(twins, required=True, note=f"{twins.note}; sets the VE that the claim asks of a document")


def _claim(site: str, pi: float, floor: float | None, tau: float | None, undertrained: bool) -> str:
    what = "an undertrained sparse coder" if undertrained else "a sparse coder"
    what += f" explains the activations at {site}: on at least {pi:.0%} of documents its VE is"
    if floor is not None:
        return f"{what} {floor:g} or more"
    if tau is None:
        return f"{what} more than the same recipe reaches on random-weights twins"
    return (
        f"{what} {tau:.3f} or more, what the same recipe could reach on a random-weights twin with {TWIN_MARGIN:g} "
        "added on the scale -log(1 - VE)"
    )
