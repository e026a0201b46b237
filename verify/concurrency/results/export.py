"""Export to SPIN (Promela) and Murphi: the model for one number of threads, with its invariants.

Every transition is one atomic step there too, so that state and transition counts are equal. Liveness, fairness,
final states and domain checks are not exported: run both without deadlock detection. A Promela text of a protocol
with several initial states has one state more, from which each is entered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from verify.concurrency.instance.dag import Node, conjuncts, signed_bits
from verify.concurrency.instance.instance import Model, Slot, Transition
from verify.concurrency.instance.program_text import shift

FORMATS = ("promela", "murphi")


def export(model: Model, form: str) -> str:
    """The text of a model in one of `FORMATS`. Raises ValueError where values need more bits than their tools have."""
    bits = signed_bits(*model.dag.span)
    if bits > TOOL_BITS:
        raise ValueError(f"SPIN and Murphi compute with {TOOL_BITS} bits, values of this model need {bits}")
    if form == "promela":
        return promela(model)
    if form == "murphi":
        return murphi(model)
    raise ValueError(f"export must be one of {', '.join(FORMATS)}, got {form!r}")


TOOL_BITS = 32


@dataclass(frozen=True, slots=True)
class Notation:
    """How one language writes expressions."""

    model: Model
    conjunction: str
    disjunction: str
    equality: str
    choice: str  # of condition, then, otherwise

    def truth(self, node: Node) -> str:
        """A truth value."""
        match node.op:
            case "const":
                return "true" if node.value[0] else "false"
            case "not":
                return f"!({self.truth(node.args[0])})"
            case "and":
                return "(" + self.conjunction.join(map(self.truth, node.args)) + ")"
            case "or":
                return "(" + self.disjunction.join(map(self.truth, node.args)) + ")"
            case "eq":
                return f"({self.number(node.args[0])} {self.equality} {self.constant(node)})"
            case "lt":
                return f"({self.number(node.args[0])} < {self.number(node.args[1])})"
        return f"({self.number(node)} {self.equality} 1)"

    def constant(self, node: Node) -> str:
        """The right side of an equality; with the label where it is compared with an enumeration."""
        cell, value = node.args[0], node.args[1].constant
        if cell.op != "read" or value is None:
            return self.number(node.args[1])
        slot = self.model.slots[cell.value[0]]
        return f"{value} /* {slot.text(value)} */" if slot.text(value) != str(value) else str(value)

    def number(self, node: Node) -> str:
        """An integer."""
        match node.op:
            case "const":
                return str(node.value[0]) if node.value[0] >= 0 else f"(0 - {-node.value[0]})"
            case "read":
                return variable(self.model.slots[node.value[0]])
            case "select":
                return self._select(node)
            case "ite":
                then, otherwise = self.number(node.args[1]), self.number(node.args[2])
                return self.choice.format(self.truth(node.args[0]), then, otherwise)
            case "add" | "sub" | "mul":
                sign = {"add": "+", "sub": "-", "mul": "*"}[node.op]
                return f"({self.number(node.args[0])} {sign} {self.number(node.args[1])})"
            case "div" | "mod":
                by, more = node.args[1].value[0], shift(node)
                raised = f"({self.number(node.args[0])} + {more * by})"
                return f"({raised} / {by} - {more})" if node.op == "div" else f"({raised} % {by})"
        return self.choice.format(self.truth(node), "1", "0")

    def _select(self, node: Node) -> str:
        first, count, default = node.value
        text = str(default)
        for index in reversed(range(count)):
            condition = f"{self.number(node.args[0])} {self.equality} {index}"
            text = self.choice.format(condition, variable(self.model.slots[first + index]), text)
        return text


def variable(slot: Slot) -> str:
    """The name of a cell: `t0_pc`, `s_slot_1`."""
    owner = "s" if slot.thread is None else f"t{slot.thread}"
    return f"{owner}_{slot.variable}" + ("" if slot.index is None else f"_{slot.index}")


def ordered(transition: Transition) -> tuple[tuple[tuple[int, Node], ...], frozenset[int]]:
    """Updates in an order in which they may be made one after the other, and the cells that need a temporary.

    A value that reads an updated cell comes before that cell's update; what remains in a circle needs a temporary.
    """
    left = dict(transition.updates)
    reads = {cell: frozenset(_reads(node)) for cell, node in left.items()}
    done: list[tuple[int, Node]] = []
    held: set[int] = set()
    while left:
        free = [cell for cell in left if not any(cell in reads[other] for other in left if other != cell)]
        if not free:
            held |= set(left)
            done += left.items()
            break
        done.append((free[0], left.pop(free[0])))
    return tuple(done), frozenset(held)


def _reads(node: Node) -> Iterator[int]:
    if node.op == "read":
        yield node.value[0]
    if node.op == "select":
        yield from range(node.value[0], node.value[0] + node.value[1])
    for arg in node.args:
        yield from _reads(arg)


def title(model: Model) -> str:
    """What is exported."""
    protocol = model.protocol
    sizes = ", ".join(f"{name}={value}" for name, value in protocol.parameters)
    variant = f", variant {protocol.variant}" if protocol.variant else ""
    return f"{protocol.name}{variant}, {model.threads} threads, {sizes}: {protocol.question}"


# --- Promela ----------------------------------------------------------------------------------------------------------
def promela(model: Model) -> str:
    """The model for SPIN: a process for each thread and each named actor, and a monitor of the invariants."""
    notation = Notation(model, " && ", " || ", "==", "({0} -> {1} : {2})")
    lines = [f"/* {title(model)} */"]
    cells = model.cells(model.initial[0])
    several = len(model.initial) > 1
    for slot in model.slots:
        lines.append(f"{_promela_type(slot)} {variable(slot)} = {cells[slot.number]};")
    lines += [f"hidden int held_{slot.number};" for slot in model.slots if _held_anywhere(model, slot.number)]
    lines += ["bit started = 0;"] if several else []
    for actor, transitions in _actors(model).items():
        name = "actor_" + actor.replace(" ", "_").replace("-", "_")
        lines += ["", f"active proctype {name}() {{", "end: do"]
        for one in transitions:
            lines.append(f"  :: d_step {{ {_promela_guard(notation, one, several)} -> /* {one.label} */")
            lines += [f"       {text}" for text in _promela_effect(notation, one)]
            lines.append("     }")
        lines += ["  od", "}"]
    lines += _promela_monitor(model, notation)
    lines += _promela_start(model) if several else []
    return "\n".join(lines) + "\n"


def _promela_type(slot: Slot) -> str:
    if slot.lo >= 0 and slot.hi <= 1:
        return "bit"
    return "byte" if slot.lo >= 0 and slot.hi <= 255 else "short" if slot.lo >= -32768 and slot.hi <= 32767 else "int"


def _held_anywhere(model: Model, cell: int) -> bool:
    return any(cell in ordered(transition)[1] for transition in model.transitions)


def _actors(model: Model) -> dict[str, list[Transition]]:
    found: dict[str, list[Transition]] = {}
    for transition in model.transitions:
        found.setdefault(transition.actor, []).append(transition)
    return dict(sorted(found.items()))


def _promela_guard(notation: Notation, one: Transition, several: bool) -> str:
    parts = [notation.truth(part) for part in conjuncts(one.guard)]
    return " && ".join((["started"] if several else []) + parts)


def _promela_effect(notation: Notation, one: Transition) -> list[str]:
    updates, held = ordered(one)
    lines = [f"held_{cell} = {notation.number(node)};" for cell, node in updates if cell in held]
    for cell, node in updates:
        value = f"held_{cell}" if cell in held else notation.number(node)
        lines.append(f"{variable(notation.model.slots[cell])} = {value};")
    return lines or ["skip"]


def _promela_monitor(model: Model, notation: Notation) -> list[str]:
    bad = [item for item in model.observations if item.role == "bad"]
    if not bad:
        return []
    lines = ["", "active proctype watch_invariants() {", "end: do"]
    for item in bad:
        lines.append(f"  :: d_step {{ {notation.truth(item.node)} -> assert(false) /* {item.property} */ }}")
    return [*lines, "  od", "}"]


def _promela_start(model: Model) -> list[str]:
    lines = ["", "active proctype begin() {", "end: do"]
    for state in model.initial:
        cells = model.cells(state)
        values = "; ".join(f"{variable(slot)} = {cells[slot.number]}" for slot in model.slots)
        lines.append(f"  :: d_step {{ !started -> started = 1; {values} }}")
    return [*lines, "  od", "}"]


# --- Murphi -----------------------------------------------------------------------------------------------------------
def murphi(model: Model) -> str:
    """The model for Murphi (rumur): a rule for each transition, and its invariants."""
    notation = Notation(model, " & ", " | ", "=", "({0} ? {1} : {2})")
    lines = [f"-- {title(model)}", "var"]
    lines += [f"  {variable(slot)}: {slot.lo}..{slot.hi};" for slot in model.slots]
    for state in model.initial:
        lines += ["", "startstate begin"]
        cells = model.cells(state)
        lines += [f"  {variable(slot)} := {cells[slot.number]};" for slot in model.slots]
        lines.append("end;")
    for one in model.transitions:
        lines += ["", *_murphi_rule(notation, one)]
    for item in model.observations:
        if item.role == "bad":
            lines += ["", f'invariant "{item.property}" !{notation.truth(item.node)};']
    return "\n".join(lines) + "\n"


def _murphi_rule(notation: Notation, one: Transition) -> list[str]:
    updates, held = ordered(one)
    slots = notation.model.slots
    lines = [f'rule "{one.actor}: {one.label}"', f"  {notation.truth(one.guard)}", "==>"]
    lines += [f"  var held_{cell}: {slots[cell].lo}..{slots[cell].hi};" for cell in sorted(held)]
    lines.append("begin")
    lines += [f"  held_{cell} := {notation.number(node)};" for cell, node in updates if cell in held]
    for cell, node in updates:
        value = f"held_{cell}" if cell in held else notation.number(node)
        lines.append(f"  {variable(slots[cell])} := {value};")
    return [*lines, "end;"]
