"""The states that recurrent mixers show in one pass are those that the model's own cache holds step by step."""

from __future__ import annotations

from ..errors import UsageProblem
from ..models.recurrent import Stepper, step_through
from ..models.sites import part_of
from .distances import distance
from .finding import Example, Seen
from .passes import Passes

__all__ = ["compare_states", "has_states"]


def has_states(passes: Passes) -> bool:
    """Whether the model's cache holds states that one pass shows, too."""
    sites = {site for site in passes.anatomy.routes if part_of(site) == "state"}
    if not sites:
        return False
    try:
        stepper = Stepper(passes.as_model(), clamp=True)
        stepper.step([0])
    except UsageProblem:  # it takes no cache
        return False
    return bool(sites & set(stepper.sites))


def compare_states(passes: Passes, example: Example) -> list[Seen]:
    """Two ways that share nothing: kernels carried out step by step in one pass, and the model's own cache.

    Traps of stepping are avoided: one token at a time, with positions, rows one by one where the cache mixes them, and
    time steps limited as the full pass limits them.
    """
    stepped = step_through(passes.as_model(), example.ids, clamp=True)
    values = passes.look(example.ids, [site for site in stepped.states if site in passes.anatomy.routes])
    what = "the state that one pass shows is not the state in the cache"
    # All numbers of a step together: single rows of a state may be next to nothing.
    seen = [
        Seen(site, distance(values[site].flatten(2), state.flatten(2)), what)
        for site, state in stepped.states.items()
        if site in values
    ]
    return [*seen, Seen("logits", distance(stepped.logits, values["logits"]), "stepping gives other logits")]
