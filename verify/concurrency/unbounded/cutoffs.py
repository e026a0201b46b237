"""Sizes: a protocol with the values of its integer parameters written in, for proofs about these sizes only.

Sums, loops and arrays then have a known length, which templates and solvers can write out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from verify.concurrency.language.domains import INT, Array, Bounded, Domain, Scalar, Size
from verify.concurrency.language.domains import size as number
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    Assign,
    Cell,
    Const,
    Find,
    For,
    If,
    Let,
    Op,
    Over,
    ParameterRef,
    PropertyTerm,
    Quantified,
    Range,
    Statement,
    StepTerm,
    Term,
)


def at_given_sizes(protocol: Protocol) -> Protocol:
    """The protocol without integer parameters: each is its value."""
    values = {name: value for name, value in protocol.parameters if not isinstance(value, bool)}
    write = _Values(values)
    return replace(
        protocol,
        parameters=tuple((name, value) for name, value in protocol.parameters if name not in values),
        shared=tuple((name, write.domain(domain)) for name, domain in protocol.shared),
        local=tuple((name, write.domain(domain)) for name, domain in protocol.local),
        steps=tuple(map(write.step, protocol.steps)),
        properties=tuple(map(write.property, protocol.properties)),
        variants=(),
    )


class _Values:
    """Writes values into what a protocol consists of."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = values

    def domain(self, domain: Domain) -> Domain:
        if isinstance(domain, Array):
            return Array(number(domain.length, self.values), self.scalar(domain.element))
        return self.scalar(domain)

    def scalar(self, domain: Scalar) -> Scalar:
        if not isinstance(domain, Bounded):
            return domain
        lo, hi = number(domain.lo, self.values), number(domain.hi, self.values)
        initial, first = domain.initial, domain.first
        initial = number(initial, self.values) if isinstance(initial, Size) else initial
        return Bounded(lo, hi, initial, number(first, self.values) if isinstance(first, Size) else first)

    def step(self, step: StepTerm) -> StepTerm:
        return replace(
            step,
            choices=tuple((name, self.range(over)) for name, over in step.choices),
            lets=tuple(Let(let.name, self.term(let.value)) for let in step.lets),
            guard=self.term(step.guard),
            effect=tuple(map(self.statement, step.effect)),
        )

    def property(self, prop: PropertyTerm) -> PropertyTerm:
        return replace(prop, premise=self.term(prop.premise), claim=self.term(prop.claim))

    def statement(self, item: Statement) -> Statement:
        match item:
            case Let():
                return Let(item.name, self.term(item.value))
            case Assign():
                return Assign(self.cell(item.target), self.term(item.value))
            case If():
                then, otherwise = (tuple(map(self.statement, body)) for body in (item.then, item.otherwise))
                return If(self.term(item.condition), then, otherwise)
            case For():
                return For(item.variable, self.over(item.over), tuple(map(self.statement, item.body)))

    def over(self, over: Over) -> Over:
        return self.range(over) if isinstance(over, Range) else over

    def range(self, over: Range) -> Range:
        return Range(self.term(over.lo), self.term(over.hi))

    def cell(self, cell: Cell) -> Cell:
        return replace(cell, index=None if cell.index is None else self.term(cell.index))

    def term(self, term: Term) -> Term:
        """The term; arithmetic on constants is done."""
        match term:
            case ParameterRef() if term.name in self.values:
                return Const(self.values[term.name], INT)
            case Cell():
                return self.cell(term)
            case Find():
                return Find(self.cell(term.array), self.term(term.value))
            case Quantified():
                return replace(term, over=self.over(term.over), body=self.term(term.body))
            case Op():
                return _folded(replace(term, args=tuple(map(self.term, term.args))))
        return term


def _folded(term: Op) -> Term:
    """A sum, difference or product of two constants as a constant."""
    match term:
        case Op(op="+", args=(Const(value=a), Const(value=b))):
            return Const(a + b, INT)
        case Op(op="-", args=(Const(value=a), Const(value=b))):
            return Const(a - b, INT)
        case Op(op="*", args=(Const(value=a), Const(value=b))):
            return Const(a * b, INT)
        case Op(op="//", args=(Const(value=a), Const(value=b))) if b > 0:
            return Const(a // b, INT)
        case Op(op="%", args=(Const(value=a), Const(value=b))) if b > 0:
            return Const(a % b, INT)
    return term
