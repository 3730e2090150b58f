"""A part of the person's own: its options are checked when it is loaded, and what it does when it is called.

It is a plain function; its keyword-only arguments are its options. What an own criterion or restore rule looks
at is as the place promises: the network in evaluation mode and float32, torch's default generator seeded for
this very call. Afterwards modes, gradients and generators are as before, and weights must be.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reprtune.errors import PartError, SpecError, did_you_mean
from reprtune.spec.codec import WORDS, from_plain
from reprtune.spec.parts.part import OWN, Own
from reprtune.training.parts.criteria import ScoreContext
from reprtune.training.parts.criteria.reading import evaluating
from reprtune.training.parts.exchanges import ExchangeContext
from reprtune.training.parts.restores import Restored, RuleContext
from reprtune.training.platform import user_code
from reprtune.training.platform.seeds import derive
from reprtune.training.surgery.subnetwork import SubNetwork

TAKES = {
    "criterion": ("filters", "context"),
    "restore": ("weight", "dropped", "context"),
    "exchange": ("members", "context"),
    "losses": ("logits", "labels", "images", "network"),
    "gradient": ("network", "gradients"),
}
SCORES = "Return layer -> J floating-point scores for every layer of `filters`; higher = dropped first."
IN_PLACE = 'Write into the tensors, as in member["conv1.weight"].copy_(...), and return nothing.'
IN_GRADIENTS = "Change the gradients in place, as in gradient.mul_(...), and return nothing."
WEIGHTS = "Return the new weights of the dropped filters as one tensor, in the order of the layer."
TYPES = {kind.__name__: kind for kind in WORDS}  # what annotations say, as texts too


def checked(part: Own) -> Callable[..., Any]:
    """What the part does, with its options.

    Raises:
        PartError: it cannot be imported, or takes other arguments than its place gives.
        SpecError: an option is unknown, absent or of another type.
    """
    code = user_code.load(part.name.removeprefix(OWN), PartError)
    call = functools.partial(code.call_with, options_of(part, code.factory))
    around: dict[str, Callable[..., Any]] = {
        "criterion": _score,
        "restore": _restore,
        "exchange": _exchange,
        "losses": _loss,
        "gradient": _change,
    }
    return functools.partial(around[part.place], part.name, call)


# -- options --------------------------------------------------------------------------------------


def options_of(part: Own, function: Callable[..., Any]) -> dict[str, Any]:
    """The options that were given, of the types that the function's annotations say: int, float, bool and str.

    Raises:
        SpecError, PartError: as `checked`.
    """
    known = _options(part, function)
    for name in part.options():
        if name not in known:
            has = (
                f"the options {', '.join(known)}" if known else "no options (they are keyword-only arguments)"
            )
            raise SpecError(
                f"There is no field method.{part.place}.{name}: {part.name} has {has}.",
                did_you_mean(name, known) if known else "Leave it out.",
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in part.options():
            raise SpecError(
                f"{part.name} needs the option {name}, which has no default.",
                f"Give it, as in method.{part.place}.{name}=1, or write a default.",
            )
    return {name: _typed(known[name], value, part.place) for name, value in part.options().items()}


def _options(part: Own, function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise PartError(f"{part.name} does not say which arguments it takes.", "Write a function.") from error
    known = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    takes = TAKES[part.place]
    try:
        signature.bind(*takes, **dict.fromkeys(known))
    except TypeError as error:
        raise PartError(
            f"{part.name} must take ({', '.join(takes)}), but it is {signature}.",
            "Its options come after a *, as keyword-only arguments.",
        ) from error
    return known


def _typed(parameter: inspect.Parameter, value: Any, place: str) -> Any:
    said = parameter.annotation
    kind = TYPES.get(said if isinstance(said, str) else getattr(said, "__name__", ""))
    return value if kind is None else from_plain(kind, value, f"method.{place}.{parameter.name}")


# -- criteria -------------------------------------------------------------------------------------


def _score(
    name: str, call: Callable[..., Any], filters: Mapping[str, Tensor], context: ScoreContext
) -> dict[str, Tensor]:
    network = context.network
    seen = {**network.parameters, **network.buffers}
    seed = derive(context.seed, "own", name, context.member, context.cycle)
    with evaluating(network.model), _gradients_aside(network.model), _drawing(seed), _only_read(name, seen):
        found = call(dict(filters), context)
    return checked_scores(name, found, filters)


def checked_scores(name: str, found: Any, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an own criterion returned, as float64 on the CPU; layers that were not asked for are left out.

    Infinite scores are welcome: `inf` goes first, `-inf` last.

    Raises:
        PartError: it is no table, or has for a layer no score, another number of scores, or no numbers.
    """
    if not isinstance(found, Mapping):
        raise PartError(f"{name} must return scores by layer, but returned a {type(found).__name__}.", SCORES)
    return {layer: _checked_layer(name, layer, found, len(weight)) for layer, weight in filters.items()}


def _checked_layer(name: str, layer: str, found: Mapping[str, Any], n_filters: int) -> Tensor:
    if layer not in found:
        raise PartError(f"{name} must score every layer it is given, but leaves out {layer}.", SCORES)
    scores = found[layer]
    _check_float(f"{name} must return scores for {layer}", scores, (n_filters,), SCORES)
    if n_wrong := int(scores.isnan().sum()):
        raise PartError(
            f"{name} must return numbers, but of the {n_filters} scores of {layer} {n_wrong} are NaN.",
            "A mean over nothing and 0 / 0 are NaN; a layer may hold filters that are 0.",
        )
    return scores.detach().to("cpu", torch.float64)


def _check_float(start: str, found: Any, shape: tuple[int, ...], hint: str) -> None:
    """Raise PartError unless it is a floating-point tensor of this shape."""
    want = " x ".join(map(str, shape))
    if not isinstance(found, Tensor):
        raise PartError(f"{start} as a tensor, but returned a {type(found).__name__}.", hint)
    if not found.is_floating_point():
        raise PartError(f"{start} in floating point, but returned {found.dtype}.", hint)
    if found.shape != shape:
        got = " x ".join(map(str, found.shape)) or "a single number"
        raise PartError(f"{start} of the shape {want}, but returned {got}.", hint)


# -- restore rules --------------------------------------------------------------------------------


def _restore(
    name: str, call: Callable[..., Any], weight: Tensor, dropped: Tensor, context: RuleContext
) -> Restored:
    seed = derive(context.generator.initial_seed(), "own", name)
    with _drawing(seed), _only_read(name, {"the layer's weight": weight}):
        found = call(weight, dropped, context)
    return checked_restored(name, found, weight, dropped)


def checked_restored(name: str, found: Any, weight: Tensor, dropped: Tensor) -> Restored:
    """What an own restore rule returned, with the dtype and device of the weight; a plain tensor has the level
    "own" throughout.

    Raises:
        PartError: it is neither that nor a `Restored`, of another shape, or holds NaN or infinities.
    """
    n_dropped = int(dropped.sum())
    levels = ("own",) * n_dropped
    if isinstance(found, Restored):
        found, levels = found.weight, tuple(found.levels)
    shape = (n_dropped, *weight.shape[1:])
    _check_float(f"{name} must return weights", found, shape, WEIGHTS)
    if len(levels) != n_dropped or not all(isinstance(level, str) for level in levels):
        raise PartError(
            f"{name} must return a level, a text, for each of {n_dropped} filters, but returned {levels}.",
            "A plain tensor needs no levels.",
        )
    new = found.detach().to(weight.device, weight.dtype)
    if n_wrong := int((~new.isfinite()).sum()):
        raise PartError(
            f"{name} must return finite weights, but {n_wrong} of {new.numel()} are NaN or infinite in {weight.dtype}.",
            WEIGHTS,
        )
    return Restored(new, levels)


# -- exchanges ------------------------------------------------------------------------------------


@torch.no_grad()
def _exchange(
    name: str,
    call: Callable[..., Any],
    members: Sequence[Mapping[str, Tensor]],
    context: ExchangeContext,
) -> None:
    given = [dict(member) for member in members]
    before = [
        {entry: (t.shape, t.dtype, bool(t.isfinite().all())) for entry, t in member.items()}
        for member in members
    ]
    with _drawing(derive(context.seed, "own", name, context.number)):
        found = call(given, context)
    if found is not None:
        raise PartError(f"{name} must return nothing, but returned a {type(found).__name__}.", IN_PLACE)
    for k, (member, new) in enumerate(zip(members, given, strict=True)):
        if unknown := ", ".join(map(str, new.keys() - member.keys())):
            raise PartError(
                f"{name} must change tensors that are there, but member {k} has no {unknown}.", IN_PLACE
            )
        for entry, (shape, dtype, was_finite) in before[k].items():
            where = f"{entry} of member {k}"
            if new.get(entry) is not member[entry]:
                raise PartError(f"{name} must change tensors in place, but put another at {where}.", IN_PLACE)
            _check_same(name, where, member[entry], shape, dtype)
            if was_finite and not bool(member[entry].isfinite().all()):
                raise PartError(f"{name} must leave finite numbers, but {where} holds NaN or infinite ones.")


def _check_same(name: str, where: str, now: Tensor, shape: torch.Size, dtype: torch.dtype) -> None:
    if now.shape != shape or now.dtype != dtype:
        got = f"{tuple(now.shape)} in {now.dtype}"
        raise PartError(
            f"{name} must leave shapes and types as they are, but {where} was {tuple(shape)} in {dtype} and is {got}.",
            IN_PLACE,
        )


# -- losses ---------------------------------------------------------------------------------------


def _loss(name: str, call: Callable[..., Any], *step: Any) -> Tensor:
    found = call(*step)
    if not isinstance(found, Tensor) or not found.is_floating_point() or found.shape != ():
        got = (
            f"{found.dtype} of shape {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else f"a {type(found).__name__}"
        )
        raise PartError(
            f"{name} must return one floating-point number as a tensor, but returned {got}.",
            "End it with .sum() or .mean(); it is added to the cross-entropy.",
        )
    return found


# -- gradient rules -------------------------------------------------------------------------------


def _change(
    name: str, call: Callable[..., Any], network: SubNetwork, gradients: Mapping[str, Tensor]
) -> None:
    """Only what needs no look at the numbers is checked, for a step must not wait for the device."""
    if (found := call(network, gradients)) is not None:
        raise PartError(f"{name} must return nothing, but returned a {type(found).__name__}.", IN_GRADIENTS)


# -- what it leaves as it was ---------------------------------------------------------------------


@contextlib.contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """torch's default generators begin at `seed`; that of the CPU is as before afterwards, those of GPUs are
    seeded for every segment."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _gradients_aside(model: nn.Module) -> Iterator[None]:
    """Parameters have no gradient yet; afterwards they have the ones they had."""
    kept = [(p, p.grad) for p in model.parameters()]
    for p, _ in kept:
        p.grad = None
    try:
        yield
    finally:
        for p, gradient in kept:
            p.grad = gradient


@contextlib.contextmanager
def _only_read(name: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Raise PartError when one of the tensors was changed. torch counts how often each is written; statistics,
    which batch normalisation writes uncounted, are compared."""
    versions = {key: t._version for key, t in tensors.items()}  # noqa: SLF001 - torch has no public name for it
    vectors = {key: t.detach().clone() for key, t in tensors.items() if t.dim() < 2}
    yield
    changed = [
        key
        for key, t in tensors.items()
        if t._version != versions[key] or (key in vectors and not torch.equal(t, vectors[key]))  # noqa: SLF001
    ]
    if changed:
        raise PartError(
            f"{name} must only look, but it changed {', '.join(changed)}.",
            "Work on a copy, such as weight.clone(), and leave the network in evaluation mode.",
        )
