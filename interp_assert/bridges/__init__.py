"""The same model in another library: what both can name, captured and edited by both, must agree.

    from interp_assert.bridges import compare, open_backend

    for agreement in compare(model, open_backend("nnsight", model)):
        print(agreement.describe())

The libraries are optional, and imported only by ``open_backend``.
"""

from __future__ import annotations

from .agreement import TOLERANCE, Agreement, compare
from .backend import BACKENDS, Backend, BackendUnavailable, open_backend

__all__ = ["BACKENDS", "TOLERANCE", "Agreement", "Backend", "BackendUnavailable", "compare", "open_backend"]
