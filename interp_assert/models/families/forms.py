"""Which functions hide a recurrence or a convolution, and the forms that show what they hide; ours and users' own.

A *kernel* is a function that a mixer calls to carry out its recurrence (``mamba_selective_scan``). What happens inside
it, above all the state after each step, passes no module boundary. A *form* does what a kernel does and shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ...errors import UsageProblem

__all__ = ["SHOWN", "Form", "forms_of", "kernel_names", "register_kernel"]

SHOWN = ("ssm.in_proj", "ssm.x_proj", "ssm.conv", "state", "ssm.y")
"""The sites that a form can show, in the order of computation."""

BUILT_IN = ("convolution", "mamba1", "mamba2", "zamba", "delta", "rglru", "rwkv", "xlstm", "lightning", "rnn")
"""The modules of this package that register forms; imported when the kernels are first asked for."""


@dataclass(frozen=True)
class Form:
    """``run(see, *args, **kwargs)`` gives what the kernel gives for these arguments and shows ``sites`` on the way.

    ``shape`` describes the state, where it shows one.
    """

    kernel: str
    sites: tuple[str, ...]
    run: Callable[..., Any]
    shape: str


_forms: dict[str, list[Form]] = {}
_imported: set[str] = set()


def register_kernel(
    kernel: Callable[..., Any] | str,
    *,
    sites: str | Sequence[str] = "state",
    shape: str = "(batch, pos, ...)",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a form of ``kernel``, so that the state of a recurrent mixer can be read and written at every step.

    The form takes ``see`` and then the kernel's own arguments, and returns what the kernel returns. It carries out the
    recurrence one position at a time and goes on with ``see(h)``, h being the state (batch, ...) after each step::

        @register_kernel(MyMixer.scan)
        def scan(see, decay, write):
            h, out = torch.zeros_like(write[:, 0]), []
            for t in range(write.shape[1]):
                h = see(decay[:, t] * h + write[:, t])
                out.append(h)
            return torch.stack(out, 1)

    Args:
        kernel: a function or method, found again by its module and name, so not one defined inside a function; or the
            bare name (``"mamba_selective_scan"``, ``"Mixer.scan"``) that it has in whatever module defines the
            model's mixers. While a pass watches it, the name is bound to the form: the mixer must look it up there
            when it runs. A mixer that writes its recurrence out in ``forward`` registers a form of ``forward``.
        sites: what the form shows: "state" (once per position), "ssm.y" and "ssm.conv" (once, (batch, pos, feature)),
            as ``see(value, "ssm.y")``; the first is the default. Of several forms of a kernel the one that shows
            least, of those that show all that is wanted, is used. "ssm.y" need not be named where it is what the
            kernel returns, (batch, pos, ...).
        shape: the axes of the state as a user reads it, for reports.

    ``see.kernel`` is the kernel itself; ``see.walk`` carries out a linear recurrence, and ``see.states`` are all states
    shown so far (batch, pos, ...), for outputs that are computed at once.

    Raises UsageProblem for a kernel that no module holds and for sites that no form can show.
    """
    name = kernel if isinstance(kernel, str) else _name_of(kernel)
    shown = (sites,) if isinstance(sites, str) else tuple(sites)
    for site in shown:
        if site not in SHOWN:
            raise UsageProblem(f"a form shows {', '.join(SHOWN)}; {site!r} is none of them")

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        others = [form for form in _forms.get(name, []) if form.sites != shown]
        _forms[name] = [*others, Form(name, shown, run, shape)]
        return run

    return register


def kernel_names() -> list[str]:
    """The kernels that have a form: bare names, or ``module:qualified.name`` of a certain function."""
    for built_in in BUILT_IN:
        if built_in not in _imported:
            import_module(f"{__package__}.{built_in}")
            _imported.add(built_in)
    return list(_forms)


def forms_of(kernel: str) -> list[Form]:
    """The forms of a kernel."""
    return _forms.get(kernel, [])


def _name_of(kernel: Callable[..., Any]) -> str:
    module, name = getattr(kernel, "__module__", None), getattr(kernel, "__qualname__", None)
    if module is None or name is None or "<locals>" in name:
        raise UsageProblem(
            f"{kernel!r} cannot be found by a name in a module; a kernel is a function or method of a module"
        )
    return f"{module}:{name}"
