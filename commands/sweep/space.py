"""What a sweep's file says of a parameter's values, as Optuna's distributions."""

import math
import reprlib

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from commands.sweep.settings import DIGITS, Value

KINDS = ("range", "uniform", "logarithmic")


def read_domain(found: object) -> BaseDistribution:
    """A parameter's values: a list of them, or `{range: [LOW, HIGH, STEP]}` and its like, both ends included."""
    match found:
        case []:
            raise ValueError("is empty, expected values to choose from")
        case [*values]:
            return _choices(values)
        case dict() if len(found) == 1:
            ((kind, ends),) = found.items()
            if kind not in KINDS:
                raise ValueError(
                    f"{reprlib.repr(kind)} is an unknown kind, expected one of {', '.join(KINDS)}, or a list"
                )
            return _interval(kind, ends)
    raise ValueError(
        f"is {reprlib.repr(found)}, expected a list of values, {{range: [LOW, HIGH, STEP]}}, {{uniform: [LOW, HIGH]}} "
        "or {logarithmic: [LOW, HIGH]}"
    )


def _choices(values: list[object]) -> BaseDistribution:
    for place, value in enumerate(values):
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"names {reprlib.repr(value)}, expected a number, a word, true or false")
        if any(value == other and type(value) is type(other) for other in values[:place]):
            raise ValueError(f"names {value!r} twice")
    return CategoricalDistribution(values)


def _interval(kind: str, ends: object) -> BaseDistribution:
    lengths = (2, 3) if kind == "range" else (2,)
    if not isinstance(ends, list) or len(ends) not in lengths or not all(map(_is_number, ends)):
        raise ValueError(
            f"{kind} is {reprlib.repr(ends)}, expected [LOW, HIGH{', STEP' if kind == 'range' else ''}], all numbers"
        )
    whole = all(isinstance(end, int) for end in ends)
    if kind == "range" and (not whole or (len(ends) == 3 and ends[2] < 1)):
        raise ValueError(f"range is {ends}, expected whole numbers and a step from 1 up")
    low, high, *steps = ends
    if not low < high:
        raise ValueError(f"{kind} is {ends}, expected the lower end first and a higher one")
    if kind == "logarithmic" and low <= 0:
        raise ValueError(f"logarithmic is {ends}, expected ends above 0")
    if not whole:
        return FloatDistribution(low, high, log=kind == "logarithmic")
    step = steps[0] if steps else 1
    return IntDistribution(low, high - (high - low) % step, step=step, log=kind == "logarithmic")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def ends(domain: BaseDistribution) -> tuple[Value, ...]:
    """The values that stand for all: every choice, or the lowest and the highest."""
    return domain.choices if isinstance(domain, CategoricalDistribution) else (domain.low, domain.high)


def points(domain: BaseDistribution) -> tuple[Value, ...] | None:
    """Every value, or None where there is no end to them."""
    match domain:
        case FloatDistribution():
            return None
        case IntDistribution():
            return tuple(range(domain.low, domain.high + 1, domain.step))
        case _:
            return domain.choices


def contains(domain: BaseDistribution, value: Value) -> bool:
    """Whether a parameter may take this value, as Optuna has it."""
    try:
        create_trial(value=0, params={"value": value}, distributions={"value": domain})
    except ValueError:
        return False
    return True


def rounded(domain: BaseDistribution, value: Value) -> Value:
    """A value as Optuna draws it, in as many digits as are told."""
    if not isinstance(domain, FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), domain.low), domain.high)
