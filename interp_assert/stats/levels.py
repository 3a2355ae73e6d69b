"""How sure a decision must be (error levels) and how much it may cost (budgets)."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageProblem

__all__ = ["QUICK", "STANDARD", "THOROUGH", "Budget", "ErrorLevels"]


_CLUSTERS = {"quick": 128, "standard": 512, "thorough": 4096}


@dataclass(frozen=True, repr=False)
class ErrorLevels:
    """The largest probabilities of wrong decisions, each strictly between 0 and 0.5.

    Raises ``UsageProblem`` for a level outside that range.
    """

    pass_: float = 0.01
    """of PASS although the claim is false"""
    fail: float = 0.001
    """of FAIL although the claim is true"""
    control: float = 0.01
    """of a control's wrong PASS"""
    control_fail: float | None = None
    """of a control's wrong FAIL; None stands for the same as of its wrong PASS"""

    def __post_init__(self) -> None:
        for name in ("pass_", "fail", "control", "control_fail"):
            level = getattr(self, name)
            if level is None and name == "control_fail":
                continue
            if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0.0 < level < 0.5:
                raise UsageProblem(
                    f"error level {name.rstrip('_')}={level!r} must be a number above 0 and below 0.5; "
                    "0.01 is usual, 0.0001 costs about twice the clusters"
                )
            object.__setattr__(self, name, float(level))

    def __repr__(self) -> str:
        """As it would be written; ``control_fail`` only where it was said."""
        said = {"pass_": self.pass_, "fail": self.fail, "control": self.control, "control_fail": self.control_fail}
        written = ", ".join(f"{name}={level!r}" for name, level in said.items() if level is not None)
        return f"ErrorLevels({written})"

    def as_dict(self) -> dict[str, float]:
        """As results files have it; ``control_fail`` only where it was said."""
        further = {} if self.control_fail is None else {"control_fail": self.control_fail}
        return {"pass": self.pass_, "fail": self.fail, "control": self.control, **further}


@dataclass(frozen=True)
class Budget:
    """How many clusters a gate may draw before it says INCONCLUSIVE; a gate may stop earlier.

    Raises ``UsageProblem`` unless ``clusters`` is a positive whole number.
    """

    name: str
    clusters: int

    def __post_init__(self) -> None:
        if isinstance(self.clusters, bool) or not isinstance(self.clusters, int) or self.clusters < 1:
            raise UsageProblem(
                f"budget {self.name!r} allows {self.clusters!r} clusters; it must be a whole number, at least 1"
            )

    @classmethod
    def named(cls, name: str) -> Budget:
        """The budget called ``name``; raises ``UsageProblem`` naming the choices."""
        try:
            return cls(name, _CLUSTERS[name])
        except KeyError:
            choices = ", ".join(f"{known} ({clusters:,})" for known, clusters in _CLUSTERS.items())
            raise UsageProblem(f"unknown budget {name!r}; choose one of {choices} clusters") from None


QUICK = Budget.named("quick")
STANDARD = Budget.named("standard")
THOROUGH = Budget.named("thorough")
