"""The import rules, and the size of functions and modules, read from the source by its syntax tree."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "verify"
FUNCTION_LINES, MODULE_LINES = 50, 400

MEANING = (  # what plans mean
    "verify.terms", "verify.models.x86", "verify.models.schemes.assumptions", "verify.models.schemes.behaviour",
    "verify.models.schemes.vocabulary", "verify.models.schemes.code", "verify.models.schemes.traps",
    "verify.models.schemes.log", "verify.models.schemes.ways", "verify.models.schemes.program",
    "verify.models.schemes.shown", "verify.models.schemes.levels", "verify.models.schemes.sequence",
)
ALLOWED: dict[str, tuple[str, ...]] = {
    # A module is under the row with the longest name it lies in.  It may import what lies in its row's own package and
    # in the packages that the row names; an import that nobody named is a fault.
    "verify": (),
    # what stands below everything
    "verify.terms": (),
    "verify.workers": (),
    # the machine and its instructions
    "verify.models": (),
    "verify.models.x86.mode": ("verify.terms",),
    "verify.models.x86.machine": ("verify.terms", "verify.models.x86.mode"),
    "verify.models.x86.paging": ("verify.terms", "verify.models.x86.machine", "verify.models.x86.mode"),
    "verify.models.x86.environment": (
        "verify.terms", "verify.models.x86.machine", "verify.models.x86.mode", "verify.models.x86.paging",
    ),
    "verify.models.x86.isa": ("verify.terms", "verify.models.x86.mode"),
    "verify.models.x86.free_fields": ("verify.terms", "verify.models.x86.isa"),
    "verify.models.x86.semantics": (
        "verify.terms", "verify.models.x86.isa", "verify.models.x86.machine", "verify.models.x86.mode",
        "verify.models.x86.paging",
    ),
    # the implementation's view of the bytes shares no code with the processor's: only what a plan means reads both
    "verify.models.schemes": ("verify.terms", "verify.models.x86.machine", "verify.models.x86.mode"),
    "verify.models.schemes.behaviour": MEANING,
    "verify.models.schemes.log": MEANING,
    "verify.models.schemes.levels": MEANING,
    "verify.models.schemes.ways": MEANING,
    "verify.models.schemes.meaning": MEANING,
    "verify.models.schemes.shown": MEANING,
    "verify.models.schemes.sequence": MEANING,
    # what is claimed, how it is decided, what becomes of an encoding and of a form
    "verify.claim": ("verify.terms", "verify.models"),
    "verify.smt": (
        "verify.terms", "verify.models.x86.machine", "verify.models.x86.environment", "verify.models.x86.mode",
        "verify.claim",
    ),
    "verify.judge": (
        "verify.terms", "verify.models", "verify.claim", "verify.smt", "verify.certificates.writing",
        "verify.certificates.statement",
    ),
    # the checker and what stands beside it import nothing of the project; what writes statements reads terms
    "verify.certificates": (),
    "verify.certificates.writing": ("verify.terms", "verify.certificates.statement"),
    "verify.causes": ("verify.terms", "verify.models", "verify.claim", "verify.report.causes", "verify.report.judged"),
    "verify.ledger": (),
    "verify.elf": (),
    "verify.survey": (
        "verify.__version__", "verify.models", "verify.claim", "verify.smt", "verify.judge", "verify.ledger",
        "verify.workers", "verify.report", "verify.elf", "verify.certificates", "verify.causes",
    ),
    "verify.report": (),
    # protocols
    "verify.concurrency": (
        "verify.workers", "verify.report.records", "verify.report.explorations", "verify.ledger.files",
    ),
    # processor and kernel as judges, and what they say of the models
    "verify.live": ("verify.terms", "verify.models", "verify.claim", "verify.workers"),
    "verify.confirm": (
        "verify.terms", "verify.models", "verify.claim", "verify.smt", "verify.judge", "verify.workers", "verify.live",
        "verify.report", "verify.ledger.files",
    ),
    "verify.confirm.litmus": ("verify.concurrency.litmus", "verify.live", "verify.report", "verify.confirm.results"),
    "verify.confirm.races": ("verify.concurrency", "verify.live", "verify.report", "verify.confirm.results"),
    "verify.cli": ("verify",),
}
ONLY_IN = {  # library -> where it may be imported
    "iced_x86": (
        "verify.models.x86.isa.decode", "verify.models.x86.isa.metadata", "verify.models.x86.isa.sweep",
        "verify.models.x86.isa.assembly",
    ),
    "capstone": ("verify.models.x86.isa.capstone_check",),
    "click": ("verify.cli",),
    "rich": ("verify.cli", "verify.report"),
    "filelock": ("verify.ledger.files",),
    "msgspec": ("verify.report",),
    "elftools": ("verify.elf",),
}
Z3_IN = ("verify.smt.z3terms", "verify.concurrency.unbounded")
SOLVERS_IN = {"verify.smt.z3terms", "verify.concurrency.unbounded.solvers"}
SOLVERS = {"Solver", "SimpleSolver", "SolverFor", "Optimize", "Fixedpoint", "Tactic", "Then", "OrElse", "solve"}
LONG_FUNCTIONS = {  # module:function -> lines that it may have
    "verify.terms.evaluation:_expression": 55,  # a case an operation
    "verify.models.x86.isa.layout:walk": 55,  # one pass over the bytes
}
LONG_MODULES = {  # module -> lines that it may have
}


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
@cache
def modules(root: Path = PACKAGE) -> dict[str, ast.Module]:
    return {name_of(p, root): ast.parse(p.read_text(encoding="utf-8")) for p in sorted(root.rglob("*.py"))}


def imported(tree: ast.Module) -> Iterator[str]:
    """Every imported module, and `package.name` for each name imported from a package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    """Whether a module lies in a package, or is it."""
    return name == package or name.startswith(package + ".")


def row_of(module: str) -> str:
    """The longest name in ALLOWED that the module lies in."""
    return max((row for row in ALLOWED if within(module, row)), key=len)


def may_import(module: str, target: str) -> bool:
    row = row_of(module)
    return row_of(target) == row or any(within(target, allowed) for allowed in ALLOWED[row])


def import_faults(found: dict[str, ast.Module]) -> list[str]:
    faults = []
    for module, tree in found.items():
        for target in imported(tree):
            library = target.partition(".")[0]
            if not any(within(module, place) for place in ONLY_IN.get(library, (module,))):
                faults.append(f"{module} imports {library}")
            elif library == "verify" and not may_import(module, target):
                faults.append(f"{module} imports {target}")
    return faults


def solver_faults(found: dict[str, ast.Module]) -> list[str]:
    faults = []
    for module, tree in found.items():
        targets = [t for t in imported(tree) if t.partition(".")[0] == "z3"]
        if targets and not any(within(module, p) for p in Z3_IN):
            faults.append(f"{module} imports z3")
        named = {t.removeprefix("z3.") for t in targets} & SOLVERS
        calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        made = named | {c for c in calls if c.startswith("z3.") and c.removeprefix("z3.") in SOLVERS}
        if made and module not in SOLVERS_IN:
            faults.append(f"{module} makes {', '.join(sorted(made))}")
    return faults


def output_faults(found: dict[str, ast.Module]) -> list[str]:
    """print, exit, sys.exit and click.echo outside the command line."""
    faults = []
    for module, tree in found.items():
        if module.startswith("verify.cli") or module == "verify.certificates.checker":  # a program by itself
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"print", "exit", "quit", "sys.exit", "click.echo"}:
                    faults.append(f"{module}:{node.lineno} calls {called}")
    return faults


def size_faults(found: dict[str, ast.Module]) -> list[str]:
    faults = []
    for module, tree in found.items():
        lines = max((getattr(n, "end_lineno", 0) or 0 for n in tree.body), default=0)
        if lines > LONG_MODULES.get(module, MODULE_LINES):
            faults.append(f"{module} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONG_FUNCTIONS.get(f"{module}:{node.name}", FUNCTION_LINES):
                    faults.append(f"{module}:{node.name} has {length} lines")
    return faults


MODE, NOT_OF_A_MODE = "verify.models.x86.mode", ("verify.concurrency", "verify.terms")
HALF = 1 << 47  # of 48-bit canonical addresses
MODE_NUMBERS = {HALF, HALF - 1, (1 << 64) - HALF, HALF - 0x1000, 0x1FFFF}
MODE_NAMES = {"CS_MODE_64", "CS_MODE_32", "KS_MODE_64", "KS_MODE_32", "CODE64", "CODE32", "mode64", "mode32"}


def is_number(node: ast.AST | None, *values: int) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and (not values or node.value in values)


def names_cpl(node: ast.AST | None) -> bool:
    return (getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None)) == "cpl"


def is_of_a_mode(node: ast.AST) -> bool:
    """Whether a node is a number of a mode: canonical bits, a decoder's width, a privilege level."""
    match node:
        case ast.BinOp(left=left, op=ast.LShift() | ast.RShift(), right=right):
            return is_number(right, 47) or (is_number(right, 48) and is_number(left, 1))
        case ast.Call(func=function, args=args, keywords=keywords):
            called = getattr(function, "attr", None) or getattr(function, "id", None)
            by_width = called in {"Decoder", "_Decoder"} and bool(args) and is_number(args[0])
            bounds = called in {"extract", "sext"} and any(is_number(a, 47) for a in args)
            return by_width or bounds or any(names_cpl(k) and is_number(k.value) for k in keywords)
        case ast.Compare(left=left, comparators=others):
            return any(map(names_cpl, (left, *others))) and any(map(is_number, (left, *others)))
        case ast.AnnAssign(target=target, value=value):
            return names_cpl(target) and is_number(value)
        case ast.Constant():
            return is_number(node, *MODE_NUMBERS)
        case ast.Attribute(attr=name):
            return name in MODE_NAMES
    return False


def mode_faults(found: dict[str, ast.Module]) -> list[str]:
    """Numbers of the mode in any module but the mode's own."""
    return [
        f"{module}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for module, tree in found.items()
        if module != MODE and not any(within(module, other) for other in NOT_OF_A_MODE)
        for node in ast.walk(tree)
        if is_of_a_mode(node)
    ]


RULES = {
    "imports": import_faults, "solvers": solver_faults, "output": output_faults, "size": size_faults,
    "mode": mode_faults,
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_its_rules(rule):
    assert RULES[rule](modules()) == []


SEEDED = {  # rule, file, source: each must be found
    "models import the prover": ("imports", "models/x.py", "from verify.judge.encoding import Judge"),
    "by a plain import": ("imports", "models/x.py", "import verify.judge.encoding"),
    "inside a function": ("imports", "models/x.py", "def f():\n    from verify.judge import encoding"),
    "isa imports semantics": ("imports", "models/x86/isa/x.py", "from verify.models.x86.semantics import run"),
    "semantics import schemes": ("imports", "models/x86/semantics/x.py", "from verify.models.schemes import program"),
    "smt imports live": ("imports", "smt/x.py", "from verify import live"),
    "live imports smt": ("imports", "live/x.py", "from verify.judge import encoding"),
    "concurrency imports smt": ("imports", "concurrency/x.py", "from verify.smt import z3terms"),
    "ledger imports the command line": ("imports", "ledger/x.py", "from verify.cli.options import judging"),
    "models import the explanation": ("imports", "models/x.py", "from verify.survey.explanation import encoding_row"),
    "models import rows": ("imports", "models/x.py", "from verify.survey import rows"),
    "models import the classifier": ("imports", "models/x.py", "from verify.survey.encodings import classified"),
    "models import the ledger": ("imports", "models/x.py", "import verify.ledger.store"),
    "models import the pool": ("imports", "models/x.py", "from verify.survey.forms import Task"),
    "models import a judge": ("imports", "models/x.py", "from verify.confirm.kernel import confirmed"),
    "rows import the command line": ("imports", "survey/rows.py", "from verify.cli.status import Status"),
    "live imports the ledger": ("imports", "live/x.py", "from verify.ledger.store import Store"),
    "the ledger imports verdicts": ("imports", "ledger/x.py", "from verify.claim.verdicts import Decision"),
    "the ledger imports assumptions": ("imports", "ledger/x.py", "from verify.models.schemes import assumptions"),
    "workers import what they work for": ("imports", "workers/x.py", "from verify.survey.forms import Worker"),
    "schemes import problems": (
        "imports",
        "models/schemes/x.py",
        "from verify.claim.conditions import VerificationCondition",
    ),
    "schemes import the processor's view": (
        "imports",
        "models/schemes/x.py",
        "from verify.models.x86.isa import decode",
    ),
    "a package that no row names": ("imports", "models/x86/semantics/x.py", "from verify.gate import Gate"),
    "a module that no row names": ("imports", "gate.py", "from verify.judge import encoding"),
    "click outside the command line": ("imports", "survey/x.py", "import click"),
    "iced beside the decoder": ("imports", "models/x86/semantics/x.py", "import iced_x86"),
    "capstone beside the second opinion": ("imports", "live/x.py", "from capstone import Cs"),
    "another solver": ("solvers", "smt/x.py", "import z3"),
    "z3 in models": ("solvers", "models/x.py", "from z3 import BitVec"),
    "another module with a solver": ("solvers", "concurrency/unbounded/x.py", "import z3\nmade = z3.SimpleSolver()"),
    "a solver by name": ("solvers", "concurrency/unbounded/x.py", "from z3 import Fixedpoint"),
    "print": ("output", "smt/x.py", "print(1)"),
    "the checker imports terms": ("imports", "certificates/x.py", "from verify.terms import Term"),
    "a part imports the writer": ("imports", "certificates/x.py", "from verify.certificates import writing"),
    "exit": ("output", "report/x.py", "import sys\nsys.exit(1)"),
    "the end of user space": ("mode", "smt/x.py", "END = 1 << 47"),
    "a test of canonical bits": ("mode", "models/x.py", "def f(a): return a >> 47"),
    "a mask of canonical bits": ("mode", "live/x.py", "MASK = 0x7FFF_FFFF_FFFF"),
    "canonical bits of a term": ("mode", "claim/x.py", "def f(a): return extract(a, 47, 0)"),
    "all canonical addresses": ("mode", "claim/x.py", "BOTH = 1 << 48"),
    "a decoder's width": ("mode", "models/x86/isa/x.py", "def f(d): return _Decoder(64, d, 0)"),
    "the second decoder's width": ("mode", "live/x.py", "def f(c): return c.CS_MODE_64"),
    "a privilege level compared": ("mode", "judge/x.py", "def f(m): return m.cpl == 3"),
    "a privilege level given": ("mode", "models/x.py", "c = Context(cpl=0)"),
    "a privilege level by default": ("mode", "models/x.py", "class C:\n    cpl: int = 3"),
    "a long function": ("size", "smt/x.py", "def f():\n" + "    pass\n" * 50),
    "a long module": ("size", "smt/x.py", "x = 1\n" * 401),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_violation_is_found(name, tmp_path):
    rule, place, source = SEEDED[name]
    path = tmp_path / "verify" / place
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    assert len(RULES[rule](modules(tmp_path / "verify"))) == 1


def test_terms_without_a_solver_are_allowed_where_invariants_are_made(tmp_path):
    path = tmp_path / "verify" / "concurrency" / "unbounded" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("import z3\nx = z3.Bool('x')\ndef f(s: z3.Solver): pass", encoding="utf-8")
    assert solver_faults(modules(tmp_path / "verify")) == []


def test_what_is_allowed_is_not_found(tmp_path):
    path = tmp_path / "verify" / "cli" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from verify.judge import encoding\nprint(1)\n" + "def f():\n" + "    pass\n" * 49, encoding="utf-8"
    )
    assert all(rule(modules(tmp_path / "verify")) == [] for rule in RULES.values())


def test_exceptions_are_still_needed():
    """A named exception whose module or function has become shorter is taken off the list."""
    found = modules()
    for module in LONG_MODULES:
        source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")
        assert len(source.splitlines()) > MODULE_LINES
    names = {f"{m}:{n.name}" for m, t in found.items() for n in ast.walk(t) if isinstance(n, ast.FunctionDef)}
    assert names >= LONG_FUNCTIONS.keys()
