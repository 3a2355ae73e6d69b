"""What a verdict on induction tells besides the decision: accuracies, chance, likelihoods, heads, prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..measures import InductionScores
from ..prompts import TokenPool

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["measured_details"]

_BEST_HEADS = 5


def measured_details(
    model: Model, scores: InductionScores, pool: TokenPool, *, relative: bool, seed: int
) -> dict[str, Any]:
    """Everything in builtins; means over all clusters that were run (also those after the gates' stop)."""
    accuracy, ran = scores.accuracy.estimate, scores.accuracy.n
    details: dict[str, Any] = {
        "quantity": "repeated - shuffled accuracy" if relative else "accuracy",
        "accuracy": accuracy,
        "shuffled": scores.shuffled.estimate,
        "unrepeated": scores.unrepeated.estimate,
        "chance": scores.chance,
        "times_chance": accuracy / scores.chance,
        "p_target": scores.p_target.estimate,
        "nll_first": scores.nll_first.estimate,
        "nll_second": scores.nll_second.estimate,
        "nll_gain": scores.nll_gain.estimate,
        "clusters_measured": ran,
        "scored_per_cluster": scores.n - 1,
        "bos": scores.bos,
        "pool": {"ids": len(pool), "note": pool.note},
        "prefix_matching": _heads(model, scores),
    }
    window = getattr(model.text_config, "sliding_window", None)
    if isinstance(window, int) and window <= scores.n:
        details["sliding_window"] = window
    details["profile"] = _profile(details, scores, pool, seed)
    if "blocks" in details["prefix_matching"]:
        details["by_block"] = details["prefix_matching"]["blocks"]
    return details


def _heads(model: Model, scores: InductionScores) -> dict[str, Any]:
    """The best heads of all and of each block; the score of uniform attention for comparison."""
    if scores.prefix_matching is None or scores.prefix_control is None:
        missing = model.anatomy.missing
        reason = next((missing[name] for name in missing if name.endswith("attn.pattern")), "no attention patterns")
        return {"missing": reason}
    offset = 0 if scores.bos is None else 1
    seen = [offset + scores.n + t + 1 for t in range(scores.n)]
    flat = np.argsort(-np.nan_to_num(scores.prefix_matching, nan=-1.0), axis=None, kind="stable")
    heads = [
        {
            "block": block,
            "head": head,
            "score": float(scores.prefix_matching[block, head]),
            "control": float(scores.prefix_control[block, head]),
        }
        for block, head in (divmod(int(i), scores.prefix_matching.shape[1]) for i in flat)
        if np.isfinite(scores.prefix_matching[block, head])
    ]
    by_block = {head["block"]: head for head in reversed(heads)}
    return {
        "clusters": scores.head_clusters,
        "uniform": float(np.mean([1.0 / keys for keys in seen])),
        "best_heads": heads[:_BEST_HEADS],
        "blocks": [by_block[block] for block in sorted(by_block)],
    }


def _profile(details: dict[str, Any], scores: InductionScores, pool: TokenPool, seed: int) -> dict[str, str]:
    """The lines of a message."""
    lines = {
        "accuracy": f"repeated {details['accuracy']:.3f}, shuffled {details['shuffled']:.3f}, unrepeated "
        f"{details['unrepeated']:.3f} over {details['clusters_measured']} clusters; chance 1/{scores.n} = "
        f"{scores.chance:.3f} (x{details['times_chance']:.1f})",
        "likelihood": f"{details['nll_first']:.2f} nats/token in the first copy, {details['nll_second']:.2f} in the "
        f"second (gain {details['nll_gain']:.2f}); p(target) {details['p_target']:.3f}",
        "prompts": f"n = {scores.n} tokens per copy, {len(pool)} ids, BOS {'none' if pool.bos is None else pool.bos}, "
        f"seed {seed}",
    }
    heads = details["prefix_matching"]
    if "missing" in heads:
        lines["heads"] = f"not readable: {heads['missing']}"
    else:
        best = ", ".join(f"{h['block']}.{h['head']} {h['score']:.3f}" for h in heads["best_heads"][:3])
        lines["heads"] = f"best prefix-matching {best} (uniform attention {heads['uniform']:.3f})"
    if "sliding_window" in details:
        lines["window"] = f"attention sees {details['sliding_window']} tokens, too few for n = {scores.n}"
    return lines
