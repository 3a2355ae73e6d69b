"""What a verdict on drift tells besides the decision: what moved, by how much rounding alone moves it, what flipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...measures import DriftScores, TextDrift, WeightDrift

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["base_facts", "below_the_floor", "drift_details"]

PARTS_SHOWN = 8


def base_facts(base: Model) -> dict[str, Any]:
    """Which model the drift is measured from."""
    identity = base.identity
    return {"id": base.id, "kind": identity.kind, "revision": identity.revision, "sha256": identity.sha256}


def drift_details(
    scores: DriftScores | None,
    floor: dict[str, Any] | None,
    weights: WeightDrift | str,
    claims: Sequence[dict[str, Any]],
    by_text: TextDrift | None,
    no_text: str | None,
) -> dict[str, Any]:
    """All figures as builtins, a table by block, and the lines of the message's profile."""
    details: dict[str, Any] = {
        "no_text": no_text,
        "by_text": None if by_text is None else _by_text(by_text),
        "noise_floor": floor,
        "weights": weights if isinstance(weights, str) else _weights(weights),
        "claims": list(claims),
        "flipped": [claim["claim"] for claim in claims if claim["flipped"]],
    }
    profile: dict[str, str] = {}
    if scores is None:
        profile["output"] = f"not compared: {no_text}"
    else:
        output = {name: float(getattr(scores, name).estimate) for name in ("total_variation", "kl", "agreement")}
        details |= {"documents": scores.n, "positions": scores.positions, "output": output}
        details["no_residual"] = scores.no_residual
        details |= {part.kind: part.top(PARTS_SHOWN) for part in scores.moved}
        profile["output"] = _output_line(output) + f" over {scores.n} documents"
        profile["noise floor"] = _floor_line(floor)
        profile["residual"] = _residual_line(scores)
        for part in scores.moved:
            profile[part.kind] = _parts_line(details[part.kind], part.kind.removesuffix("s"))
    if by_text is not None:
        profile["by text"] = _text_line(by_text)
    profile["weights"] = (
        f"not compared: {weights}" if isinstance(weights, str) else f"moved by {weights.whole:.3g} of their norm"
    )
    untold = [claim for claim in claims if claim.get("missing") and claim["claim"].startswith("probes/")]
    for claim in claims:
        if claim not in untold:
            profile[claim["claim"]] = claim["told"]
    if untold:
        profile["probes"] = f"{len(untold)} sets not compared: {untold[0]['claim']}, {untold[0]['missing']}" + (
            "; and so on" if len(untold) > 1 else ""
        )
    details |= {"by_block": _by_block(scores, floor, weights), "profile": profile}
    return details


def below_the_floor(name: str, limit: float, floor: dict[str, Any] | None) -> str:
    """A warning if a limit is tighter than what rounding the base's weights does to it; else empty."""
    value = None if floor is None else floor.get(name)
    if value is None:
        return ""
    tighter = limit <= np.max(value) if name in ("total_variation", "kl", "residual") else limit >= np.min(value)
    through = floor["through"] if floor is not None else ""
    worst = np.max(value) if name in ("total_variation", "kl", "residual") else np.min(value)
    return f"the limit on {name} is tighter than a trip through {through} ({worst:.3g})" if tighter else ""


def _by_block(
    scores: DriftScores | None, floor: dict[str, Any] | None, weights: WeightDrift | str
) -> list[dict[str, Any]]:
    residual = None if scores is None else scores.residual
    by_weights = None if isinstance(weights, str) else [weights.outside, *weights.blocks]
    if residual is None and by_weights is None:
        return []
    entries = len(by_weights) if residual is None else residual.moved.shape[1]  # type: ignore[arg-type]
    rounding = None if floor is None else floor.get("residual")
    rows = []
    for entry in range(entries):
        row: dict[str, Any] = {"block": "embed" if entry == 0 else entry}
        if residual is not None:
            row |= {
                "residual": _number(residual.relative[entry]),
                "cosine": _number(residual.cosine.mean(0)[entry]),
                "CKA": _number(residual.cka[entry]),
                "rounding": None if rounding is None else _number(rounding[entry]),
            }
        # the embedding stands for everything outside the blocks
        row["weights"] = None if by_weights is None else _number(by_weights[entry])
        rows.append(row)
    return rows


def _number(value: float | NDArray[np.float64]) -> float | None:
    return float(value) if np.isfinite(value) else None


def _weights(weights: WeightDrift) -> dict[str, Any]:
    return {
        "blocks": [_number(value) for value in weights.blocks],
        "outside": _number(weights.outside),
        "whole": _number(weights.whole),
    }


def _by_text(drift: TextDrift) -> dict[str, Any]:
    return {
        "base": float(drift.base.mean()),
        "model": float(drift.model.mean()),
        "difference": drift.difference,
        "unit": "nats per character",
        "texts": len(drift.base),
        "left_out": drift.left_out,
    }


def _text_line(drift: TextDrift) -> str:
    return (
        f"{drift.base.mean():.3f} -> {drift.model.mean():.3f} nats per character over {len(drift.base)} texts "
        f"({drift.left_out} left out)"
    )


def _output_line(output: dict[str, float]) -> str:
    return (
        f"total variation {output['total_variation']:.3g}, KL {output['kl']:.3g} nats, "
        f"top-1 agreement {output['agreement']:.3f}"
    )


def _floor_line(floor: dict[str, Any] | None) -> str:
    if floor is None or "missing" in floor:
        return "not measured" if floor is None else f"not measured: {floor['missing']}"
    return f"{_output_line(floor)} (weights through {floor['through']} and back)"


def _residual_line(scores: DriftScores) -> str:
    if scores.residual is None:
        return f"not compared: {scores.no_residual}"
    relative = scores.residual.relative
    if not relative.any():
        return "moved nowhere"
    at = int(np.nanargmax(relative))
    first = int(np.flatnonzero(relative)[0])
    where = "the embedding" if first == 0 else f"block {first}"
    most = "the embedding" if at == 0 else f"block {at}"
    return f"moved from {where} on, most at {most}: {relative[at]:.3g} of its norm"


def _parts_line(parts: Sequence[dict[str, Any]], one: str) -> str:
    if not parts:
        return "none moved"
    named = [f"{part['block']}.{part[one]} ({part['moved']:.2g})" for part in parts[:5] if part["moved"] is not None]
    return f"moved most (block.{one} as in sites, from 0): {', '.join(named)}"
