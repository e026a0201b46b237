"""The protocol language: variables, steps, properties, fairness, assumptions and variants of one protocol.

Decides what a protocol is; how it is explored is decided elsewhere. See the package docstring for an example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from verify.concurrency.language.declarations import check_variable, fair_kind, option_name, sizes
from verify.concurrency.language.domains import (
    ANY,
    BOOL,
    NEXT,
    NUMBER,
    PREVIOUS,
    Array,
    Bool,
    Bounded,
    Domain,
    DomainOverflow,
    Enum,
    Parameter,
    ProtocolError,
    ThreadId,
)
from verify.concurrency.language.expressions import implies, in_order, leads_to, threads
from verify.concurrency.language.frontend import Reader
from verify.concurrency.language.terms import FALSE, TRUE, PropertyTerm, StepTerm, enabled

__all__ = [
    "ANY", "NEXT", "NUMBER", "PREVIOUS",
    "Array", "Assumption", "Bool", "Bounded", "Claim", "Description", "DomainOverflow", "Enum", "Parameter", "Protocol",
    "ProtocolError", "Shared", "Thread", "ThreadId", "Variant", "implies", "in_order", "leads_to", "threads",
]  # fmt: skip

Shared = Any
"""Type of a step's first parameter: the shared variables are its attributes."""
Thread = Any
"""Type of a step's thread parameters: the per-thread variables are their attributes."""

Claim = Any
"""Type of what a property returns: a truth value, `implies` or `leads_to`."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
VERDICTS = ("proved", "refuted", "vacuous", "unknown")
DEADLOCK = "no_deadlock"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A named assumption or axiom of a protocol, with its source; `flag`: it is in force where this flag is set."""

    name: str
    text: str
    source: str = ""
    flag: str = ""

    def under(self, flag: Parameter) -> Assumption:
        """The same assumption, in force where a flag is set: a variant that turns the flag off does without it."""
        if flag.type != BOOL:
            raise ProtocolError(f"assumption {self.name}: {flag.name} is no flag")
        return replace(self, flag=flag.name)


@dataclass(frozen=True, slots=True)
class Variant:
    """A changed protocol: other constants, steps replaced, added or dropped; `expected` verdicts that differ.

    `shared` and `local` are variables that only the variant has. `skipped` are properties that it does not ask, because
    what they are about cannot happen in it. `lifts` are assumptions that do not hold in it. `threads` is the number of
    threads at which the expected verdicts hold (None: the protocol's).
    """

    name: str
    question: str
    constants: tuple[tuple[str, int | bool], ...] = ()
    drop: tuple[str, ...] = ()
    steps: tuple[StepTerm, ...] = ()
    expected: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()
    shared: tuple[tuple[str, Domain], ...] = ()
    local: tuple[tuple[str, Domain], ...] = ()
    threads: int | None = None
    source: str = ""
    lifts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol, or one of its variants, with the values of its parameters."""

    name: str
    question: str
    shared: tuple[tuple[str, Domain], ...]
    local: tuple[tuple[str, Domain], ...]
    parameters: tuple[tuple[str, int | bool], ...]
    steps: tuple[StepTerm, ...]
    properties: tuple[PropertyTerm, ...]
    assumptions: tuple[Assumption, ...] = ()
    variants: tuple[Variant, ...] = ()
    expected: tuple[tuple[str, str], ...] = ()
    threads: int = 3
    variant: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise ProtocolError(f"{self.name}: two steps have one name: {sorted(names)}")
        if len({prop.name for prop in self.properties}) != len(self.properties):
            raise ProtocolError(f"{self.name}: two properties have one name")
        for name, verdict in self.expected:
            if name not in {prop.name for prop in self.properties} or verdict not in VERDICTS:
                raise ProtocolError(f"{self.name}: expected verdict {verdict!r} of {name!r} names nothing")
        steps = {step.name: step for step in self.steps}
        bound = (replace(p, premise=enabled(steps.get(p.step), p.threads)) if p.step else p for p in self.properties)
        object.__setattr__(self, "properties", tuple(bound))

    @property
    def values(self) -> dict[str, int]:
        """Parameters by name."""
        return {name: int(value) for name, value in self.parameters}

    @property
    def in_force(self) -> tuple[Assumption, ...]:
        """The assumptions that hold with the present flags."""
        values = self.values
        return tuple(item for item in self.assumptions if values.get(item.flag, 1))

    def expectation(self, name: str) -> str:
        """The verdict that is expected of the property: "proved" unless declared otherwise."""
        return dict(self.expected).get(name, "proved")

    def with_parameters(self, **values: int | bool) -> Protocol:
        """The same protocol for other sizes."""
        unknown = set(values) - {name for name, _ in self.parameters}
        if unknown:
            known = ", ".join(name for name, _ in self.parameters) or "none"
            raise ProtocolError(f"{self.name} has no parameter {', '.join(sorted(unknown))}; there are {known}")
        for name, old in self.parameters:
            given = values.get(name, old)
            if isinstance(given, bool) != isinstance(old, bool):
                kind = "a flag: true or false" if isinstance(old, bool) else "a number"
                raise ProtocolError(f"parameter {name} of {self.name} is {kind}, got {given!r}")
        return replace(self, parameters=tuple((name, values.get(name, old)) for name, old in self.parameters))

    def with_variant(self, name: str) -> Protocol:
        """The variant of that name, as a protocol of its own."""
        found = next((variant for variant in self.variants if variant.name == name), None)
        if found is None:
            known = ", ".join(item.name for item in self.variants) or "none"
            raise ProtocolError(f"{self.name} has no variant {name!r}; there are {known}")
        replaced = {step.name: step for step in found.steps}
        kept = [replaced.pop(step.name, step) for step in self.steps if step.name not in found.drop]
        asked = (prop for prop in self.properties if prop.step not in found.drop and prop.name not in found.skipped)
        return replace(
            self.with_parameters(**dict(found.constants)),
            variant=name,
            question=found.question,
            shared=(*self.shared, *found.shared),
            local=(*self.local, *found.local),
            steps=(*kept, *replaced.values()),
            properties=tuple(asked),
            expected=tuple({**dict(self.expected), **dict(found.expected)}.items()),
            threads=found.threads or self.threads,
            assumptions=tuple(item for item in self.assumptions if item.name not in found.lifts),
        )

    def property_named(self, name: str) -> PropertyTerm:
        """The property of that name."""
        return next(prop for prop in self.properties if prop.name == name)


@dataclass(slots=True)
class VariantDescription:
    """Collects the steps of one variant."""

    variant: Variant
    description: Description
    reader: Reader
    steps: list[StepTerm] = field(default_factory=list)

    def step(
        self,
        replaces: str | None = None,
        actor: str = "thread",
        fair: str | None = "weak",
        choose: Mapping[str, Any] | None = None,
        fair_over: Sequence[str] | None = None,
    ) -> Callable[[_Function], _Function]:
        """Replaces the named step, or adds a new one under the function's name."""
        option_name(replaces, "replaces", "a step's name")
        option_name(actor, "actor", "who acts")
        fair_kind(fair)

        def register(function: _Function) -> _Function:
            if replaces is not None and replaces not in {step.name for step in self.description.steps}:
                raise ProtocolError(f"variant {self.variant.name} replaces unknown step {replaces}")
            name = replaces or function.__name__
            self.steps.append(self.reader.step(function, name, actor, fair, choose or {}, fair_over))
            return function

        return register


class Description:
    """Collects a protocol while its module is read; `protocol()` gives the finished record."""

    def __init__(
        self,
        name: str,
        question: str,
        *,
        shared: Mapping[str, Domain],
        local: Mapping[str, Domain],
        assumptions: Sequence[Assumption] = (),
        expected: Mapping[str, str] | None = None,
        threads: int = 3,
        source: str = "",
    ) -> None:
        self.name, self.question, self.threads, self.source = name, question, threads, source
        self.shared, self.local = dict(shared), dict(local)
        self.assumptions, self.expected = tuple(assumptions), dict(expected or {})
        self.reader = Reader(self.shared, self.local)
        self._check(self.shared.items(), self.local.items())
        self.steps: list[StepTerm] = []
        self.properties: list[PropertyTerm] = []
        self.variants: list[VariantDescription] = []

    def step(
        self,
        actor: str = "thread",
        fair: str | None = "weak",
        choose: Mapping[str, Any] | None = None,
        fair_over: Sequence[str] | None = None,
    ) -> Callable[[_Function], _Function]:
        """Decorates a step `f(shared, thread.., choice..)`.

        `actor` is who acts where no thread is a parameter ("prober", "kernel"). `choose` maps a parameter to its number
        of values; every value is a transition of its own. `fair` is "weak" (continuously enabled: taken), "strong"
        (again and again enabled: taken) or None (may never be taken), for each thread and each choice by itself.
        `fair_over` names the parameters for each of whose values it is fair by itself, whatever the others are: () is
        the step as a whole.
        """
        option_name(actor, "actor", "who acts")
        fair_kind(fair)

        def register(function: _Function) -> _Function:
            found = self.reader.step(function, function.__name__, actor, fair, choose or {}, fair_over)
            self.steps.append(found)
            return function

        return register

    def always(self, function: _Function) -> _Function:
        """Decorates an invariant: holds in every reachable state, for every thread."""
        return self._property(function, "always")

    def precondition(self, step: Callable[..., Any]) -> Callable[[_Function], _Function]:
        """Decorates what holds of the same threads whenever `step` is taken, whatever its guard says.

        Vacuous where the step is never taken.
        """
        named = getattr(step, "__name__", repr(step))
        if named not in {known.name for known in self.steps}:
            raise ProtocolError(f"a precondition is of a step of the protocol, got {named}")

        def register(function: _Function) -> _Function:
            found = self.reader.property(function, function.__name__, "always")
            if found.premise != TRUE:
                raise ProtocolError(f"property {function.__name__}: a precondition of a step, without a premise")
            self.properties.append(replace(found, step=named))
            return function

        return register

    def sometimes(self, function: _Function) -> _Function:
        """Decorates a goal: some reachable state satisfies it, for some thread."""
        return self._property(function, "sometimes")

    def eventually(self, function: _Function) -> _Function:
        """Decorates `leads_to(premise, claim)`, judged under the fairness of the steps."""
        return self._property(function, "eventually")

    def terminal(self, function: _Function) -> _Function:
        """Decorates the states that may be final; any other state without successors is a deadlock."""
        term = self.reader.property(function, DEADLOCK, "deadlock")
        self.properties.append(term)
        return function

    def variant(
        self,
        name: str,
        question: str,
        *,
        constants: Mapping[str, int | bool] | None = None,
        drop: Sequence[str] = (),
        refutes: Sequence[str] = (),
        expected: Mapping[str, str] | None = None,
        skipped: Sequence[str] = (),
        shared: Mapping[str, Domain] | None = None,
        local: Mapping[str, Domain] | None = None,
        threads: int | None = None,
        source: str = "",
        lifts: Sequence[str] = (),
    ) -> VariantDescription:
        """Declares a variant; decorate its changed steps with the result's `step`.

        `refutes` names the properties that it refutes; `expected` gives other verdicts; `lifts` names the assumptions
        that do not hold in it.
        """
        if unknown := set(lifts) - {item.name for item in self.assumptions}:
            raise ProtocolError(f"variant {name} lifts unknown assumptions {sorted(unknown)}")
        if unknown := set(drop) - {step.name for step in self.steps}:
            raise ProtocolError(f"variant {name} drops unknown steps {sorted(unknown)}")
        if unknown := set(skipped) - {prop.name for prop in self.properties if prop.kind != "deadlock"}:
            raise ProtocolError(f"variant {name} does not ask unknown properties {sorted(unknown)}")
        verdicts = {**dict.fromkeys(refutes, "refuted"), **(expected or {})}
        record = Variant(
            name, question, tuple((constants or {}).items()), tuple(drop), (), tuple(verdicts.items()), tuple(skipped),
            tuple((shared or {}).items()), tuple((local or {}).items()), threads, source, tuple(lifts),
        )  # fmt: skip
        self._check(record.shared, record.local)
        self.variants.append(VariantDescription(record, self, self.reader.beside(shared or {}, local or {})))
        return self.variants[-1]

    def known_wrong(
        self,
        *rows: tuple[str, str, Sequence[Parameter], str] | tuple[str, str, Sequence[Parameter], str, str],
        threads: int | None = None,
    ) -> None:
        """Declares variants by a table: name, question, flags that are turned, properties refuted, and a source."""
        for name, question, flags, refuted, *source in rows:
            turned = {flag.name: not flag.default for flag in flags}
            wrong = refuted.split()
            self.variant(name, question, constants=turned, refutes=wrong, threads=threads, source="".join(source))

    def protocol(self) -> Protocol:
        """The finished record."""
        properties = list(self.properties)
        if not any(prop.name == DEADLOCK for prop in properties):
            properties.append(PropertyTerm(DEADLOCK, "deadlock", (), TRUE, FALSE))
        return Protocol(
            self.name,
            self.question,
            tuple(self.shared.items()),
            tuple(self.local.items()),
            tuple((name, value.default) for name, value in sorted(self.reader.parameters.items())),
            tuple(self.steps),
            tuple(properties),
            self.assumptions,
            tuple(replace(item.variant, steps=tuple(item.steps)) for item in self.variants),
            tuple(self.expected.items()),
            self.threads,
            source=self.source,
        )

    def _check(self, shared: Iterable[tuple[str, Domain]], local: Iterable[tuple[str, Domain]]) -> None:
        """Raises ProtocolError for a variable that is not finite; the parameters in domains become the protocol's."""
        for is_shared, variables in ((True, shared), (False, local)):
            for variable, domain in variables:
                check_variable(variable, domain, is_shared)
                for size in sizes(domain):
                    self.reader.parameter(size)

    def _property(self, function: _Function, kind: str) -> _Function:
        self.properties.append(self.reader.property(function, function.__name__, kind))
        return function
