"""What a gate says to somebody who decides about a release, made from its verdict alone."""

from __future__ import annotations

from typing import Any

from interp_assert.gates.verdict import ClaimStand, GateVerdict, ModelVerdict, Release
from interp_assert.reports.gates import gate_headline, gate_story

RECORD: dict[str, Any] = {
    "claim": "random tokens are continued",
    "claim_verdict": "FAIL",
    "estimate": 0.0314,
    "interval": [0.0, 0.42],
    "threshold": 0.5,
    "direction": "higher",
    "n": 64,
    "levels": {"pass": 0.01, "fail": 0.0005, "control": 0.01},
    "details": {"quantity": "accuracy"},
    "controls": [],
}
BASELINE: dict[str, Any] = {
    "before": 0.981,
    "now": 0.012,
    "interval": [-1.0, -0.9],
    "limit": -0.05,
    "n": 128,
    "unit": "share",
    "direction": "higher",
}
WAIVER = {"reason": "the next one does", "owner": "jo", "expires": "2026-12-31"}


def stand(verdict: str, says: Release, told: str = "", excused: str = "", **record: Any) -> ClaimStand:
    claim = {"budget": "standard", "why": "users paste logs", "waiver": WAIVER if excused == "waived" else None}
    full = None if verdict == "MISSING" else {**RECORD, **record}
    return ClaimStand(
        "zoo:a", "toy/claim", verdict, says, told, excused, claim, full, BASELINE, ("g.yaml::g::t[zoo:a b]",)
    )


def gate(*claims: ClaimStand, says: Release, reason: str = "") -> GateVerdict:
    own = ModelVerdict("zoo:a", says, "", claims)
    good = ModelVerdict("zoo:b", Release.RELEASE, "", (stand("PASS", Release.RELEASE),))
    return GateVerdict("release", "g.yaml", "before releases", says, reason, (good, own))


def test_a_fail_is_told_in_numbers_and_why_it_matters() -> None:
    story = gate_story(gate(stand("FAIL", Release.BLOCK), says=Release.BLOCK))
    assert story == [
        "before releases",
        "BLOCK       zoo:a: 0 of 1 required claims shown to hold",
        "    toy/claim does not hold: accuracy is 0.031, and surely not above 0.420 (64 prompts); more than 0.5 is "
        "required",
        "      claimed     random tokens are continued",
        "      how sure    of 2,000 runs in which the claim is true at most one says this",
        "      it matters  users paste logs",
        "      look closer pytest 'g.yaml::g::t[zoo:a b]'",
        "RELEASE     zoo:b: 1 of 1 required claims shown to hold",
    ]


def test_the_other_way_round_where_lower_is_better() -> None:
    story = "\n".join(
        gate_story(gate(stand("FAIL", Release.BLOCK, direction="lower", interval=[0.2, 1.0]), says=Release.BLOCK))
    )
    assert "and surely not below 0.200 (64 prompts); less than 0.5 is required" in story


def test_a_loss_is_told_beside_what_it_was() -> None:
    story = gate_story(gate(stand("WORSE", Release.BLOCK), says=Release.BLOCK))
    assert story[2] == (
        "    toy/claim is worse than it was: 0.981 share before, 0.012 now, surely a loss of 0.900 or more "
        "(128 prompts); less than 0.05 is required"
    )


def test_a_control_that_does_as_well_is_named() -> None:
    controls = [{"name": "twins", "verdict": "FAIL"}, {"name": "shuffled", "verdict": "PASS"}]
    failed = stand("FAIL", Release.BLOCK, claim_verdict="PASS", controls=controls)
    story = "\n".join(gate_story(gate(failed, says=Release.BLOCK)))
    assert "because     what knows nothing of it does as well, so the figure shows nothing: twins" in story
    assert "surely between 0.000 and 0.420" in story


def test_what_is_not_decided_says_what_would_do() -> None:
    reason = "not decided: control twins; more twins may decide it"
    for needed, told in (
        (3000, "to decide   about 3,000 prompts in all; write budget: thorough for it"),
        (300, "to decide   about 300 prompts in all\n"),
        (5000, "about 5,000 prompts in all, and the largest budget has 4,096: claim less, or make it advisory: true"),
        (None, ""),
    ):
        undecided = stand("INCONCLUSIVE", Release.INCOMPLETE, needed=needed, reason=reason)
        story = "\n".join(gate_story(gate(undecided, says=Release.INCOMPLETE)))
        assert "toy/claim is not decided: accuracy is 0.031, surely between 0.000 and 0.420" in story
        assert "undecided   control twins; more twins may decide it" in story
        assert told in story
        assert ("to decide" in story) is (needed is not None)


def test_what_cannot_be_asked_says_what_the_gate_can_do() -> None:
    unasked = stand("NOT_APPLICABLE", Release.INCOMPLETE, "no such words", estimate=None)
    story = "\n".join(gate_story(gate(unasked, says=Release.INCOMPLETE)))
    assert "toy/claim cannot be asked of this model: no such words" in story
    assert "to decide   leave this claim out for this model, or make it advisory: true" in story


def test_what_is_missing_says_why() -> None:
    missing = stand("MISSING", Release.INCOMPLETE, "it was deselected (-k)")
    story = "\n".join(gate_story(gate(missing, says=Release.INCOMPLETE)))
    assert "toy/claim has no verdict that counts: it was deselected (-k)" in story


def test_a_waiver_is_told_with_reason_owner_and_date() -> None:
    waived = stand("FAIL", Release.RELEASE, excused="waived")
    verdict = gate(waived, says=Release.RELEASE)
    story = "\n".join(gate_story(verdict))
    assert "toy/claim does not hold (waived)" in story
    assert "waived      until 2026-12-31 by jo: the next one does" in story
    assert "look closer" not in story
    assert gate_headline(verdict).endswith("RELEASE: 1 required claim on 2 models, and every one holds (1 waived)")


def test_the_headline_is_one_line_with_whom_it_is_about() -> None:
    blocked = gate_headline(gate(stand("FAIL", Release.BLOCK), says=Release.BLOCK))
    assert blocked == "gate release (g.yaml): BLOCK: zoo:a (toy/claim)"
    broken = gate_headline(gate(stand("MISSING", Release.INCOMPLETE), says=Release.INCOMPLETE, reason="broken off"))
    assert broken == "gate release (g.yaml): INCOMPLETE: broken off"
    many = tuple(ModelVerdict(f"zoo:{n}", Release.BLOCK, "", (stand("FAIL", Release.BLOCK),)) for n in range(9))
    headline = gate_headline(GateVerdict("release", "g.yaml", "", Release.BLOCK, "", many))
    assert headline.endswith("zoo:2 (toy/claim); and 6 more")
