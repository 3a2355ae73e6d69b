"""How a gate's budget of false alarms is shared out, so that all its claims together stay within it.

A run is a false alarm if it ends in BLOCK although every required claim is true, and no model worse than its baseline.
Each of M claims that can block is wrongly FAIL with probability at most alpha, and so are its comparison with a
baseline and each of its controls, so by the union bound the whole run is with at most the sum. PASS needs no such
correction: a release needs all of them.

``drift/claims`` holds two claims, each at alpha, and has a single control: its sum is within the share, too.
"""

from __future__ import annotations

__all__ = ["MOST_CONTROLS", "shares"]

MOST_CONTROLS = 8
"""required controls of one claim that the shares allow for; none of the shipped suites has more"""
CONTROL = 0.01
"""the level of controls outside of gates, and the most that one may have here"""


def shares(false_alarms: float, claims: int, alpha_fail: float) -> tuple[float, float]:
    """The levels of FAIL of one claim and of each of its controls, if ``claims`` of them can block the release.

    Half of a claim's share goes to its controls; the claim and its comparison with a baseline, which has the same
    level, divide the other, and neither gets more than ``alpha_fail``.
    """
    share = false_alarms / max(claims, 1)
    return min(alpha_fail, share / 4), min(CONTROL, share / 2 / MOST_CONTROLS)
