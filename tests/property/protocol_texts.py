"""Random protocol files, over all features of the language: choices, fairness, loops in every order, arithmetic at the
edges of domains, helpers, arrays, several parameters, wide states. No tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

HEAD = """\
from verify.concurrency.language.protocol import (
    ANY, NEXT, NUMBER, PREVIOUS, Array, Bool, Bounded, Claim, Description, Enum, Parameter, Shared, Thread, ThreadId,
    implies, in_order, leads_to, threads,
)

K = Parameter("K", {K})
L = Parameter("L", {L})
ON = Parameter("ON", {ON})


def free(s, t):
    return s.owner is None or s.owner == t


def others(t, bound):
    return sum(1 for v in threads if v != t and v.m > bound)


def mark(s, t, value):
    t.m = value
    if s.mode == "a":
        t.flag = not t.flag


p = Description(
    "random", "none",
    shared={{{shared}}},
    local={{{local}}},
)
"""
LABELS = ("a", "b", "c")
EDGES = (46_340, 65_536, (1 << 31) - 1, 1 << 31, 1 << 33)


@dataclass
class Names:
    """What is in scope: threads, numbers, and whether assignments may be to shared variables."""

    threads: list[str]
    numbers: list[str] = field(default_factory=list)


@dataclass
class Writer:
    """Writes one protocol."""

    random: Random
    wide: bool  # a state of more than 64 bits
    named: bool  # a per-thread variable names a thread
    edge: int  # what `big` holds at most; 0: there is none
    parameters: dict[str, int]
    fresh: int = 0

    def one(self, *texts: str) -> str:
        return self.random.choice(texts)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # --- expressions ------------------------------------------------------------------------------------------------
    def number(self, names: Names, depth: int = 1) -> str:
        r, t = self.random, self.random.choice(names.threads) if names.threads else ""
        plain = ["s.n", "K", "L", str(r.randint(-1, 3)), *names.numbers]
        plain += [f"{t}.m", f"{t}.place", f"{t}.m"] if t else []
        kind = r.randint(0, 15) if depth else 0
        inner = lambda: self.number(names, depth - 1)  # noqa: E731
        match kind:
            case 1:
                return f"s.level[{inner()}]"
            case 2:
                return f"s.slot.find({self.thread(names)})"
            case 3:
                condition = self.truth(Names([*names.threads, "v"], names.numbers), 0)
                return f"sum({self.one('1', 'v.m')} for v in threads if {condition})"
            case 4:
                return f"({inner()} {self.one('+', '-', '*')} {inner()})"
            case 5:
                return f"({inner()} if {self.truth(names, 0)} else {inner()})"
            case 6 if t:
                return f"{t}.stack[{inner()}]"
            case 7 if t:
                return f"others({t}, {inner()})"
            case 8:
                return f"-{inner()}"
            case 9:
                return f"{self.one('min', 'max')}({inner()}, {inner()})"
            case 10:
                return f"({inner()} {self.one('//', '%')} {self.one('2', '3', 'K')})"
            case 11:
                return f"(s.owner.{self.one('m', 'place', 'stack[1]')} if s.owner is not None else {inner()})"
        return r.choice(plain)

    def thread(self, names: Names) -> str:
        more = [f"{t}.peer" for t in names.threads] if self.named else []
        return self.one("None", "s.owner", f"s.slot[{self.number(names, 0)}]", *names.threads, *more)

    def truth(self, names: Names, depth: int = 1) -> str:
        r, t = self.random, self.random.choice(names.threads) if names.threads else ""
        kind = r.randint(0, 16) if depth else r.randint(0, 6)
        label = f'"{r.choice(LABELS)}"'
        match kind:
            case 0:
                return f"s.mode {self.one('==', '!=')} {label}"
            case 1 | 2 if t:
                return f"{t}.pc {self.one('==', '==', '!=')} {label}"
            case 3 if t:
                return f"{t}.flag"
            case 4:
                sign = self.one("<", "<=", ">", ">=", "==", "!=")
                return f"{self.number(names, 0)} {sign} {self.number(names, depth)}"
            case 5:
                return f"s.owner {self.one('==', '!=')} {self.thread(names)}"
            case 6 if self.edge:
                factor = self.one("s.big", "3", "L", "s.n")
                return f"s.big * {factor} {self.one('>', '<')} {r.choice((5, 1 << 20, 1 << 32))}"
            case 7:
                inner = Names([*names.threads, "v"], names.numbers)
                return f"{self.one('all', 'any')}({self.truth(inner, 0)} for v in threads)"
            case 8:
                inner = Names(names.threads, [*names.numbers, "q"])
                level = f"s.level[q] {self.one('<', '==')} {self.number(inner, 0)}"
                body = self.one(level, f"s.slot[q] == {self.thread(inner)}")
                return f"{self.one('all', 'any')}({body} for q in range({self.one('K', '2')}))"
            case 9:
                return f"({self.truth(names, 0)} {self.one('and', 'or')} {self.truth(names, depth - 1)})"
            case 10:
                return f"not ({self.truth(names, depth - 1)})"
            case 11 if t:
                return f"free(s, {t})"
            case 12 if t:
                return f't.pc in ("a", {label})'.replace("t.", f"{t}.")
            case 14:
                test = self.one(f"s.owner.pc == {label}", "s.owner.flag", "s.owner.m > 0")
                return f"(s.owner is not None and {test})"
            case 15:
                condition = self.truth(Names(["v", "w"], names.numbers), 0)
                kind_, test = self.one("all", "any"), self.one("", " if v != w")
                return f"{kind_}({condition} for v in threads for w in threads{test})"
            case 13:
                return f"0 <= {self.number(names, 0)} < {self.number(names, 0)}"
        return self.one("s.on", "ON", "s.mode in ('a', 'b')")

    # --- statements -------------------------------------------------------------------------------------------------
    def clipped(self, value: str, lo: str, hi: str) -> str:
        """A value brought into its domain, but now and then not."""
        if self.chance(0.04):
            return value
        return f"({lo} if {value} < {lo} else {hi} if {value} > {hi} else {value})"

    def assignment(self, names: Names) -> str:
        r, t = self.random, self.random.choice(names.threads) if names.threads else ""
        number = self.number(names)
        shared = [
            f's.mode = "{r.choice(LABELS)}"',
            f"s.n = {self.clipped(number, '-1', '2')}",
            f"s.owner = {self.thread(names)}",
            f"s.slot[{self.clipped(number, '0', '1')}] = {self.thread(names)}",
            f"s.level[{self.clipped(number, '0', 'K - 1')}] = {self.clipped(self.number(names), '0', '2')}",
            f"s.on = {self.truth(names)}",
            *([f"s.big = {r.choice((0, 1, self.edge))}"] * 2 if self.edge else []),
        ]
        own = [
            f"{t}.flag = {self.truth(names)}",
            f"{t}.m = {self.clipped(number, '0', 'L')}",
            f"{t}.place = {self.clipped(number, '0', '1')}",
            f"{t}.stack[{self.clipped(number, '0', '1')}] = {self.clipped(self.number(names), '0', '1')}",
            f"mark(s, {t}, {self.clipped(number, '0', 'L')})",
            *([f"{t}.peer = {self.thread(names)}"] * 2 if self.named else []),
            *([f"{t}.pad[{r.randint(0, 2)}] = {r.choice((0, 4095))}"] if self.wide else []),
        ]
        return r.choice(own if t and self.chance(0.6) else shared)

    def block(self, names: Names, size: int, depth: int) -> list[str]:
        lines: list[str] = []
        names = Names(list(names.threads), list(names.numbers))
        for _ in range(size):
            kind = self.random.randint(0, 9) if depth else self.random.randint(0, 4)
            if kind == 0:
                self.fresh += 1
                lines.append(f"x{self.fresh} = {self.number(names)}")
                names.numbers.append(f"x{self.fresh}")
            elif kind in (5, 6):
                lines.append(f"if {self.truth(names)}:")
                lines += self.indented(self.block(names, 1, depth - 1))
                if self.chance(0.5):
                    lines.append(self.one("else:", f"elif {self.truth(names)}:"))
                    lines += self.indented(self.block(names, 1, depth - 1))
            elif kind in (7, 8):
                lines += self.loop(names, depth)
            elif kind == 4 and depth:
                lines += ["if s.owner is not None:", f"    s.owner.m = {self.clipped(self.number(names), '0', 'L')}"]
            elif kind == 9:
                self.fresh += 1
                inner = Names(names.threads, [*names.numbers, f"q{self.fresh}"])
                lines.append(f"for q{self.fresh} in range({self.one('K', '2')}):")
                other = self.clipped(self.number(inner, 0), "0", "K - 1")
                place = self.one(f"q{self.fresh}", f"q{self.fresh}", other)
                lines += self.indented([f"s.level[{place}] = {self.clipped(self.number(inner), '0', '2')}"])
            else:
                lines.append(self.assignment(names))
        return lines

    def loop(self, names: Names, depth: int) -> list[str]:
        """A loop over threads: of rounds that mostly do not depend on each other, or of any rounds."""
        self.fresh += 1
        u = f"u{self.fresh}"
        inner = Names([u], names.numbers)
        t = self.random.choice(names.threads) if names.threads else u
        bodies = [
            [f"if {self.truth(inner, 0)}:", f"    {u}.m = {self.clipped(f'{u}.m + 1', '0', 'L')}"],
            [f"if {self.truth(inner, 0)}:", "    s.count += 1"],
            [f"if {u} == s.owner:", f'    s.mode = "{self.random.choice(LABELS)}"'],
            [f"if {u} != {t}:", f"    {u}.flag = {t}.flag"],
            [f"s.on = s.on or {u}.flag"],
            [f"{u}.m = {t}.m"],
            ["if s.owner is None and " + self.truth(inner, 0) + ":", f"    s.owner = {u}"],
            [f"{u}.m = {self.clipped('s.n', '0', 'L')}", "s.n = " + self.clipped("s.n + 1", "-1", "2")],
            self.block(Names([*names.threads, u], names.numbers), 1, depth - 1),
            self.block(inner, 2, 0),
        ]
        return [f"for {u} in threads:", *self.indented(self.random.choice(bodies))]

    @staticmethod
    def indented(lines: list[str]) -> list[str]:
        return ["    " + line for line in lines]

    # --- the whole --------------------------------------------------------------------------------------------------
    def step(self, number: int) -> list[str]:
        r = self.random
        threads = ["t", "u"] if self.chance(0.2) else ["t"] if self.chance(0.9) else []
        choices = [name for name in ("k", "j") if self.chance(0.2)]
        options = ["fair=" + self.one('"weak"', '"weak"', '"strong"', "None")]
        if choices:
            options.append("choose={" + ", ".join(f'"{c}": {self.one("2", "K")}' for c in choices) + "}")
        if self.chance(0.3):
            over = [name for name in (*threads, *choices) if self.chance(0.5)]
            options.append(f"fair_over=({''.join(repr(name) + ', ' for name in over)})")
        if not threads:
            options.append('actor="clock"')
        names = Names(threads, list(choices))
        body: list[str] = []
        if self.chance(0.2):
            self.fresh += 1
            body.append(f"x{self.fresh} = {self.number(names)}")
            names.numbers.append(f"x{self.fresh}")
        guard = f't.pc == "{LABELS[number % 3]}"' if threads else f's.mode == "{LABELS[number % 3]}"'
        guard += f" and {self.truth(names)}" if self.chance(0.5) else ""
        effect = self.block(names, r.randint(1, 3), 2)
        move = "t.pc" if threads else "s.mode"
        effect.append(f'{move} = "{r.choice(LABELS)}"')
        body += [f"if {guard}:", *self.indented(effect)]
        head = f"def s{number}({', '.join(['s', *threads, *choices])}):"
        return [f"@p.step({', '.join(options)})", head, *self.indented(body), "", ""]

    def properties(self) -> list[str]:
        one, two = Names(["t"]), Names(["t", "u"])
        texts = [
            ("@p.always", "safe(s, t)", f"implies({self.truth(one)}, {self.truth(one)})"),
            ("@p.always", "plain(s)", self.truth(Names([]))),
            ("@p.always", "apart(s, t, u)", self.truth(two)),
            ("@p.always", "beside(s, t, u)", f"implies({self.truth(two)}, {self.truth(two)})"),
            ("@p.precondition(s0)", "before(s{})", self.truth(one)),
            ("@p.sometimes", "goal(s, t)", self.truth(one)),
            ("@p.eventually", "later(s, t)", f"leads_to({self.truth(one)}, {self.truth(one)})"),
            ("@p.eventually", "on(s, t)", 'leads_to(t.pc == "a", t.pc == "b")'),
            ("@p.eventually", "both(s, t, u)", f"leads_to({self.truth(two, 0)}, {self.truth(two, 0)})"),
        ]
        if self.chance(0.5):
            texts.append(("@p.terminal", "final(s)", self.truth(Names([]))))
        return [line for kind, head, body in texts for line in (kind, f"def {head}:", f"    return {body}", "", "")]

    def text(self) -> str:
        self.parameters = {"K": self.random.randint(2, 3), "L": self.random.randint(1, 2), "ON": self.chance(0.5)}
        shared = ['"owner": ThreadId()', '"slot": Array(2, ThreadId())', '"level": Array(K, Bounded(0, 2))',
                  '"n": Bounded(-1, 2, initial=0)', '"mode": Enum("a", "b", "c")', '"on": Bool(ON.default)',
                  '"count": Bounded(0, 3)']  # fmt: skip
        local = ['"pc": Enum("a", "b", "c")', '"flag": Bool()', '"m": Bounded(0, L)',
                 '"place": Bounded(0, 1, first=1)', '"stack": Array(2, Bounded(0, 1))']  # fmt: skip
        shared = [item.replace("Bool(ON.default)", f"Bool({self.parameters['ON']})") for item in shared]
        shared += [f'"big": Bounded(0, {self.edge})'] if self.edge else []
        ring = self.one("", "initial=NEXT", "initial=PREVIOUS")
        local += [f'"peer": ThreadId({ring})'] if self.named else []
        if self.chance(0.15):
            local = [item.replace("Bounded(0, L)", "Bounded(0, L, initial=ANY)") for item in local]
        if self.chance(0.1):
            local = [item.replace("Bounded(0, 1, first=1)", "Bounded(0, 2, initial=NUMBER)") for item in local]
        local += ['"pad": Array(3, Bounded(0, 4095))'] if self.wide else []
        head = HEAD.format(shared=", ".join(shared), local=", ".join(local), **self.parameters)
        steps = [line for number in range(self.random.randint(3, 5)) for line in self.step(number)]
        first = next(line for line in steps if line.startswith("def s0("))
        arguments = first[first.index("(") + 1 : first.index(")")].split(", ")
        asked = "".join(f", {name}" for name in arguments if name in ("t", "u"))
        rest = [line.replace("before(s{})", f"before(s{asked})") for line in self.properties()]
        if not asked:
            rest[rest.index("def before(s):") + 1] = f"    return {self.truth(Names([]))}"
        return "\n".join([head, "", *steps, *rest, "PROTOCOL = p.protocol()", ""])


def written(seed: int) -> str:
    """The text of a random protocol file."""
    random = Random(seed)
    edge = random.choice(EDGES) if random.random() < 0.2 else 0
    return Writer(random, random.random() < 0.2, random.random() < 0.15, edge, {}).text()
