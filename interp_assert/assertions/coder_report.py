"""What a verdict on a coder tells besides the decision: variance explained, sparsity, loss recovered, and how it was
trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadEdit, NonFiniteMeasurement, SiteNotAvailable
from ..stats import ControlResult

if TYPE_CHECKING:
    from .coder_run import CoderRun

__all__ = ["coder_details"]

_LOSS_DOCUMENTS = 16
"""documents on which the model's own loss is measured, four passes each"""


def coder_details(run: CoderRun, init: ControlResult, undertrained: bool) -> dict[str, Any]:
    """Everything in builtins; figures over all documents that were drawn (also those after the gates' stop)."""
    scores, coder = run.scores, run.coder
    explained = scores.by_document
    details: dict[str, Any] = {
        "variance_explained": scores.variance_explained,
        "variance_explained_by_document": {
            name: float(np.quantile(explained, q)) for name, q in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0))
        },
        "tau": run.tau,
        "l0": scores.l0,
        "dead": scores.dead,
        "vectors": scores.pooled.n,
        "documents_drawn": run.drawn,
        "documents": run.documents.note,
        "training_vectors": run.vectors,
        "coder": coder.settings(),
        "recipe": None if run.recipe is None else run.recipe.as_dict(),
        "undertrained": undertrained,
        "init_twin": init.details.get("variance_explained"),
        "cross_entropy": _loss(run),
    }
    details["profile"] = _profile(details, run)
    return details


def _loss(run: CoderRun) -> dict[str, Any]:
    """The model's loss with the reconstruction in place, or why it is not known."""
    from ..coders import cross_entropy_recovered

    rows = [ids for _, ids in run.documents.evaluation(0, min(run.drawn, _LOSS_DOCUMENTS))]
    try:
        found = cross_entropy_recovered(run.reader, run.coder, rows, run.mean)
    except (SiteNotAvailable, BadEdit, NonFiniteMeasurement) as problem:
        return {"missing": str(problem)}
    return {
        "clean": found.clean,
        "coder": found.coder,
        "zero": found.zero,
        "mean": found.mean,
        "recovered_from_zero": found.from_zero,
        "recovered_from_mean": found.from_mean,
        "tokens": found.tokens,
    }


def _profile(details: dict[str, Any], run: CoderRun) -> dict[str, str]:
    """The lines of a message."""
    coder, spread, loss = details["coder"], details["variance_explained_by_document"], details["cross_entropy"]
    lines = {
        "explained": f"VE {details['variance_explained']:.3f} pooled over {details['documents_drawn']} documents "
        f"({spread['lowest']:.3f} to {spread['highest']:.3f}, median {spread['median']:.3f})"
        + ("" if run.tau is None else f"; the claim counts those with at least {run.tau:.3f}"),
        "sparsity": f"L0 {details['l0']:.1f} of {coder['d_sae']} latents, {details['dead']:.1%} of which never fire on "
        f"{details['vectors']} vectors",
    }
    if "missing" in loss:
        lines["loss"] = f"not measured: {loss['missing']}"
    else:
        shares = [
            f"{share:.1%} of what {name} ablation costs"
            for name, share in (("zero", loss["recovered_from_zero"]), ("mean", loss["recovered_from_mean"]))
            if share is not None
        ]
        lines["loss"] = (
            f"{loss['clean']:.3f} nats/token, {loss['coder']:.3f} through the coder, {loss['zero']:.3f} and "
            f"{loss['mean']:.3f} ablated to zero and to the mean: "
            + ("recovers " + " and ".join(shares) if shares else "no ablation hurts, so nothing can be recovered")
        )
    lines["documents"] = details["documents"]
    if run.recipe is not None:
        trained = f"{run.recipe.steps} steps of {run.recipe.batch} vectors out of {details['training_vectors']}"
        lines["training"] = trained + ("; undertrained: a small coder for a large model" * details["undertrained"])
    return lines
