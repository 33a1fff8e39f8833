"""Change each comparison, condition and statement of the decision, and see a test fail: what survives is not tested.

    python benchmarks/decision_mutants.py

Each mutant is one change to the code that decides, discloses or believes; its tests run in a process of their own. The
exit code is 0 when every mutant is caught, or listed below as no change at all.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis  # noqa: F401 - loaded once, before the processes fork
import pytest
import torch  # noqa: F401

import prostate_alm.preprocessing
import prostate_alm.readers
import prostate_alm.training.assembly  # noqa: F401
from prostate_alm.benchmark.execution import commit, machine

ROOT = Path(__file__).parents[1]
CPU_SECONDS = 120
TARGETS = {
    "prostate_alm.report.triage": "tests/report/test_triage.py",
    "prostate_alm.report.disclosure": "tests/report/test_disclosure.py",
    "prostate_alm.inference.believability": "tests/inference/test_believability.py",
}
PYTEST = (
    *("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)
_CONDITION = (
    "not reasons and logit is not None and (operating_point is not None)"
    " and (logit < operating_point.threshold - GUARD_BAND)"
)
_DECIDE = f"prostate_alm.report.triage decide: {_CONDITION} -> "
_ABSENT = "`_reasons` gives a reason where it is None, and `not reasons` stands before it; the type checker needs it"
_AGREES = (
    "prostate_alm.report.triage _score_agrees: self.basis is Basis.MODEL and self.logit is not None"
    " and (self.operating_point is not None) -> self.basis is Basis.MODEL and "
)
_REFUSED = "`_basis_agrees` refuses a model's answer without it before; the type checker needs it"
_SHARE = "int.from_bytes(digest[:8]) < policy.audit_share * 2 ** 64"
EQUIVALENT: dict[str, str] = {
    f"prostate_alm.report.disclosure is_drawn: {_SHARE} -> {_SHARE.replace('<', '<=')}": "one study of 2^64 differs",
    _DECIDE
    + "not reasons and operating_point is not None and (logit < operating_point.threshold - GUARD_BAND)": _ABSENT,
    _DECIDE + "not reasons and logit is not None and (logit < operating_point.threshold - GUARD_BAND)": _ABSENT,
    _AGREES + "self.operating_point is not None": _REFUSED,
    _AGREES + "self.logit is not None": _REFUSED,
    "prostate_alm.report.triage _sigmoid: logit >= 0 -> logit > 0": "both forms give 0.5 at 0",
}
"""Mutants that change nothing, by name, and why."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
SWAPPED_CALLS = {"all": "any", "any": "all"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: what is changed.
        name: function, old and new text.
        tree: of the changed module.
    """

    module: str
    name: str
    tree: ast.Module


def source_of(module: str) -> str:
    """The code of a module of this checkout."""
    return (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")


def mutants(module: str) -> Iterator[Mutant]:
    """Every change to the functions of a module."""
    tree = ast.parse(source_of(module))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for node in list(ast.walk(function)):
            for change in changes(node):
                yield _mutant(module, tree, function=function.name, old=node, change=change)


def changes(node: ast.AST) -> Iterator[ast.AST | None]:
    """What may stand in a node's place; None deletes a statement."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARISONS:
            yield _with(node, ops=[COMPARISONS[type(operator)](), *node.ops[1:]])
        case ast.BoolOp(op=operator, values=values):
            yield _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            for place in range(len(values)):
                kept = values[:place] + values[place + 1 :]
                yield kept[0] if len(kept) == 1 else _with(node, values=kept)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=ast.Sub()):
            yield _with(node, op=ast.Add())
        case ast.IfExp(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.If():
            yield _with(node, test=ast.Constant(value=True))
            yield _with(node, test=ast.Constant(value=False))
        case ast.comprehension(ifs=[_, *_]):
            yield _with(node, ifs=[])
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED_CALLS:
            yield _with(node, func=ast.Name(SWAPPED_CALLS[name], ast.Load()))
        case ast.AugAssign():
            yield None
        case ast.Expr(value=ast.Call()):
            yield None
        case _:
            return


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _mutant(module: str, tree: ast.Module, *, function: str, old: ast.AST, change: ast.AST | None) -> Mutant:
    """The tree with one node changed, and a name that lasts as long as the code stays."""

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            if node is old:
                return ast.Pass() if change is None else change
            return self.generic_visit(node)

    memo: dict[int, Any] = {id(old): old}
    changed = Replace().visit(copy.deepcopy(tree, memo))
    text = "deleted" if change is None else _text(change)
    return Mutant(module, f"{function}: {_text(old)} -> {text}", ast.fix_missing_locations(changed))


def _text(node: ast.AST) -> str:
    """A node in a line; of an `if` its test alone."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


class _MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the changed module in the place of the one on disk."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="mutant")

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.tree, "mutant", "exec"), module.__dict__)  # noqa: S102 - our own code, changed by us


def is_caught(mutant: Mutant) -> bool:
    """Whether a test fails, or can't even begin, or never ends."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        for name in [
            name for name in sys.modules if name.startswith(("prostate_alm.report", "prostate_alm.inference"))
        ]:
            del sys.modules[name]
        sys.meta_path.insert(0, _MutantLoader(mutant))
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            code = pytest.main([*PYTEST, TARGETS[mutant.module]])
        os._exit(int(code))
    _, status = os.waitpid(child, 0)
    return status != 0


def main() -> None:
    """Run every mutant and write what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decision_mutants.json"))
    options = parser.parse_args()
    os.chdir(ROOT)
    began, counts, survivors = commit(), dict[str, int](), list[str]()
    for module in TARGETS:
        found = list(mutants(module))
        unchanged = Mutant(module, "unchanged", ast.parse(source_of(module)))
        if is_caught(unchanged):
            sys.exit(f"the tests of {module} fail without any change; mend them first")
        counts[module] = len(found)
        for mutant in found:
            if not is_caught(mutant):
                survivors.append(f"{module} {mutant.name}")
                print(survivors[-1], flush=True)
    unexplained = [name for name in survivors if name not in EQUIVALENT]
    result = {
        "command": "python benchmarks/decision_mutants.py",
        "commit": began,
        "machine": machine(),
        "mutants": counts,
        "equivalent": {name: EQUIVALENT[name] for name in survivors if name in EQUIVALENT},
        "survived": unexplained,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{sum(counts.values())} mutants, {len(survivors)} survived, {len(unexplained)} of them unexplained")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
