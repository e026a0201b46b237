"""Bit-vector terms: the one language in which semantics, schemes and obligations are written.

`nodes` has sorts, nodes and their order, `rules` what constructors rewrite, `sums` the normal form of sums, `matching`
makes rules into Python, and `constructors` are what semantics call.  Translation to a solver is `verify.smt`'s
business, evaluation on integers is `verify.terms.evaluation`'s.
"""

from verify.terms.constructors import (
    Constructors,
    add,
    all_of,
    and_,
    any_of,
    ashr,
    concat,
    constructors,
    eq,
    extract,
    ite,
    load,
    lshr,
    mul,
    neg,
    normal_form,
    not_,
    or_,
    rebuilt,
    sdiv,
    select,
    sext,
    shl,
    slt,
    srem,
    store,
    sub,
    substitute,
    udiv,
    ult,
    under,
    urem,
    write,
    xor,
    zext,
)
from verify.terms.nodes import (
    FALSE,
    GPRS,
    MASKS,
    MEMORY,
    TRUE,
    VECTORS,
    Array,
    Opaque,
    Sort,
    Term,
    as_written,
    bit,
    const,
    postorder,
    precedes,
    text,
    uf,
    var,
)
from verify.terms.rules import RULES, Rule

__all__ = [
    "FALSE", "GPRS", "MASKS", "MEMORY", "RULES", "TRUE", "VECTORS", "Array", "Constructors", "Opaque", "Rule", "Sort",
    "Term", "add", "all_of", "and_", "any_of", "as_written", "ashr", "bit", "concat", "const", "constructors", "eq",
    "extract", "ite", "load", "lshr", "mul", "neg", "normal_form", "not_", "or_", "postorder", "precedes", "rebuilt",
    "sdiv", "select", "sext", "shl", "slt", "srem", "store", "sub", "substitute", "text", "udiv", "uf", "ult", "under",
    "urem", "var", "write", "xor", "zext",
]  # fmt: skip
