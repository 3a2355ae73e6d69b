"""Who has registered families and kernels: this package and others that say so when they are installed, or anybody."""

from __future__ import annotations

from importlib.metadata import entry_points

from .forms import _forms
from .registry import GROUP, _declared

__all__ = ["registered_by_hand"]


def registered_by_hand() -> list[str]:
    """Modules that registered a family or a kernel without being announced by an entry point: a conftest.py, a
    notebook. What they state about a model can change from one run to the next, and no version tells.
    """
    announced = {__name__.partition(".")[0], *(entry.module.partition(".")[0] for entry in entry_points(group=GROUP))}
    stated = [*_declared.values(), *(form.run for forms in _forms.values() for form in forms)]
    return sorted({where for each in stated if (where := each.__module__).partition(".")[0] not in announced})
