"""No verdict and no test depends on wall time: every use of a clock or of a limit in time, read from the source by its
syntax tree, is in a named place, where it only reports or serves a user's own choice.

Bounds are counted work: a solver's resource units, states, views, rounds
(`verify.concurrency.results.exploration.Limits`). Of the tests, those of the processor and of the kernel may sleep
and bound the programs that they start (a program that is stopped skips its test, tests/live/conftest.py), since what
they wait for happens outside; clocks they have none. The gate's test is left out, which bounds a whole run.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JUDGING = ("concurrency", "models", "smt")  # packages whose verdicts are the same on every machine
OUTSIDE = ("tests.live.", "tests.unit.live.", "tests.unit.workers.")  # what these wait for happens outside
ELSEWHERE = ("tests/unit/test_ci.py", "tests/test_wall_time.py")
CLOCKS = {"clock_gettime", "getrusage", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
          "thread_time", "time_ns", "times"}  # fmt: skip
STAMPS = {"time.time", "datetime.now", "datetime.utcnow", "signal.alarm", "signal.setitimer", "threading.Timer"}
LIMITS = ("timeout", "tlimit", "CLOCK_MONOTONIC", "CLOCK_REALTIME")  # in names of arguments, and in texts
WORDS = (*CLOCKS, *(stamp.rpartition(".")[2] for stamp in STAMPS), *LIMITS, "sleep", "seconds")
REPORTED = "how long it took is told, nothing else"
CHOSEN = "a limit that only a user sets, and that ends as incomplete"
WAITS = "waits for another process to get that far, however long it takes"
PLACES = {
    "verify.concurrency.explicit.c_search": CHOSEN,  # the text of the C program
    "verify.concurrency.bdd.engine:__init__": CHOSEN,
    "verify.concurrency.bdd.engine:bounded": CHOSEN,
    "verify.concurrency.bdd.engine:check": CHOSEN,
    "verify.concurrency.bdd.engine:search": REPORTED,
    "verify.concurrency.explorer:explore": REPORTED,
    "verify.concurrency.explicit.numpy_engine:search": CHOSEN,
    "verify.concurrency.explicit.python_engine:exceeded": CHOSEN,
    "verify.concurrency.explicit.python_engine:search": CHOSEN,
    "verify.concurrency.liveness.lasso:judge": CHOSEN,
    "verify.concurrency.liveness.leads_to:pending": CHOSEN,
    "verify.concurrency.unbounded.budget:__init__": CHOSEN,
    "verify.concurrency.unbounded.budget:milliseconds": CHOSEN,
    "verify.concurrency.unbounded.candidates:_explored": CHOSEN,
    "verify.concurrency.unbounded.counter_abstraction:counted": REPORTED,
    "verify.concurrency.unbounded.counter_abstraction:of": CHOSEN,
    "verify.concurrency.unbounded.houdini:_invariant": REPORTED,
    "verify.concurrency.unbounded.solvers:asked": CHOSEN,
    "verify.concurrency.unbounded.verdicts:prove_any": REPORTED,
    "verify.concurrency.unbounded.views:proofs": CHOSEN,
    "verify.concurrency.unbounded.views:closed": CHOSEN,
    "tests.live.reproducers:main": CHOSEN,
    "tests.live.test_executor_state:test_interrupted_call_leaves_a_usable_executor": WAITS,
    "tests.mutants.semantics_score:_answer": REPORTED,
    "tests.mutants.semantics_score:main": REPORTED,
    "tests.property.register_access:main": REPORTED,
    "tests.property.replay_search:main": REPORTED,
    "tests.sweep_continuations:main": REPORTED,
    "tests.unit.concurrency.test_interrupt:cpu_time": WAITS,
    "tests.unit.concurrency.test_interrupt:test_ctrl_c_ends_a_query_and_is_not_taken_for_its_time": WAITS,
    "tests.unit.concurrency.test_interrupt:test_interrupted_compiler_leaves_a_run_that_is_incomplete": WAITS,
    "tests.unit.concurrency.test_interrupt:test_interrupted_search_reports_what_it_found": WAITS,
    "tests.unit.ledger.killed_writers:killed": WAITS,
    "tests.unit.ledger.killed_writers:main": CHOSEN,
    "tests.unit.survey.test_ledger:is_gone": WAITS,
    "tests.unit.survey.test_ledger:wait_for_decisions": WAITS,
}


@cache
def uses_in_sources() -> tuple[tuple[str, str], ...]:
    """The uses of every module that is looked at."""
    return tuple(each for name, source in sources() for each in uses(name, source))


def sources() -> Iterator[tuple[str, str]]:
    """Name and text of every module that is looked at."""
    for package in JUDGING:
        for path in sorted((ROOT / "verify" / package).rglob("*.py")):
            yield _name(path), path.read_text(encoding="utf-8")
    command = ROOT / "verify" / "cli" / "interleavings.py"
    yield _name(command), command.read_text(encoding="utf-8")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if not path.relative_to(ROOT).as_posix().startswith(ELSEWHERE):
            yield _name(path), path.read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def uses(module: str, source: str) -> Iterator[tuple[str, str]]:
    """Place (module, or module:function) and text of each use of wall time."""
    if not any(word in source for word in WORDS):
        return
    tree = ast.parse(source)
    owners: dict[ast.AST, str] = {}
    texts = {docstring(node) for node in ast.walk(tree)}
    for node in ast.walk(tree):  # outer functions come before inner ones
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            owners |= dict.fromkeys(ast.walk(node), f"{module}:{node.name}")
    for node in ast.walk(tree):
        said = use(node, module.startswith("tests."), module.startswith(OUTSIDE)) if node not in texts else ""
        if said:
            yield owners.get(node, module), said


def docstring(node: ast.AST) -> ast.AST | None:
    """The text that describes a module, class or function."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            return first.value
    return None


def use(node: ast.AST, of_test: bool, outside: bool) -> str:
    """How a node depends on wall time, empty where it does not."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in CLOCKS:
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if f"{owner}.{name}" in STAMPS:
            return f"{owner}.{name}"
        case ast.alias(name=name) if name in CLOCKS:
            return name
        case _ if outside:
            return ""
        case ast.Attribute(attr="sleep") | ast.alias(name="sleep") if of_test:
            return "sleep"
        case ast.keyword(arg=str(name)) | ast.arg(arg=name) if any(limit in name for limit in LIMITS):
            return name
        case ast.keyword(arg="seconds", value=ast.Constant(value=value)) if value:
            return f"seconds={value}"
        case ast.Constant(value=str(text)) if any(limit in text for limit in LIMITS):
            return text
    return ""


def misplaced(every: Iterable[tuple[str, str]]) -> list[str]:
    """Uses outside the named places."""
    return [f"{place}: {text[:60]}" for place, text in every if place not in PLACES]


def faults(module: str, source: str) -> list[str]:
    """Uses of one module outside the named places."""
    return misplaced(uses(module, source))


def test_wall_time_is_used_in_named_places_only() -> None:
    assert misplaced(uses_in_sources()) == []


def test_every_named_place_is_needed() -> None:
    used = {place for place, _ in uses_in_sources()}
    assert PLACES.keys() <= used


SEEDED = {
    "a clock": "import time\ndef f():\n    return time.perf_counter() > 5",
    "a clock by its name": "from time import monotonic",
    "the time of day": "import time\nx = time.time()",
    "z3's own limit": 'def f(s):\n    s.set("timeout", 1000)',
    "z3's own limit as an argument": "def f(s):\n    s.set(timeout=1000)",
    "cvc5's own limit": 'def f(s):\n    s.setOption("tlimit-per", "1000")',
    "an alarm": "import signal\nsignal.alarm(5)",
    "a process that has so long": "import subprocess\ndef f(p):\n    p.communicate(timeout=60)",
    "a bound in seconds": "from verify.concurrency.results.exploration import Limits\nx = Limits(seconds=60)",
    "inside a method": "import time\nclass A:\n    def look(self):\n        return time.monotonic()",
    "in generated C": 'TEXT = "clock_gettime(CLOCK_MONOTONIC, &t);"',
}


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("module", ["verify.smt.x", "tests.unit.test_x"])
def test_a_seeded_use_is_found(name: str, module: str) -> None:
    assert len(faults(module, SEEDED[name])) == 1


def test_a_clock_in_a_live_test_is_found_and_a_bounded_program_is_not() -> None:
    source = "def f(p):\n    time.sleep(1)\n    p.wait(timeout=60)\n    assert time.monotonic() < 5"
    assert faults("tests.live.test_x", source) == ["tests.live.test_x:f: monotonic"]


def test_a_test_that_sleeps_is_found() -> None:
    assert faults("tests.unit.test_x", "import time\ndef test():\n    time.sleep(6)")


def test_what_is_allowed_is_not_found() -> None:
    """A docstring, a solver's resources, a named place, and a bound of nothing."""
    source = 'def asked(s):\n    """No timeout."""\n    s.set(rlimit=5)\n    perf_counter()\nx = Limits(seconds=0.0)'
    assert faults("verify.concurrency.unbounded.solvers", source) == []
