"""The small mistakes that `tests.mutate` puts into a file: mutants of its syntax tree.

Each mutant changes one place: a comparison's bound, a sign, a constant by one, `and` for `or`, a
minimum for a maximum, a condition for its opposite; a statement or an operand left out, a loop of
one round, a procedure that returns at once. Annotations, documentation and messages of errors are
left alone: no test could or should see those.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
PAIRS = [("argmin", "argmax"), ("min", "max"), ("minimum", "maximum"), ("any", "all"),
         ("floor", "ceil")]  # fmt: skip
NAMES = dict(PAIRS) | {b: a for a, b in PAIRS}


@dataclass(frozen=True)
class Mutant:
    """One changed place of a file."""

    file: str
    line: int  #: where the change begins, from 1
    source: str  #: the whole file as changed
    removed: tuple[str, ...]  #: the lines that were there, without indentation
    added: tuple[str, ...]  #: those that took their place
    #: The lines of which a test must run one to notice; none where it runs when the file is read,
    #: or is compiled, so that nobody sees it run.
    reached_by: range

    @property
    def diff(self) -> str:
        return "\n".join([*(f"- {x}" for x in self.removed), *(f"+ {x}" for x in self.added)])


def mutants(file: str, source: str) -> list[Mutant]:
    """Every mutant of a file that is still Python, in the order of their lines."""
    made: dict[str, Mutant] = {}
    places = _lines_of_functions(ast.parse(source))
    for node, text in _changes(source):
        changed = _replaced(source, node, text)
        try:
            compile(changed, file, "exec")
        except SyntaxError:
            continue
        if changed not in made and changed != source:
            edits = list(unified_diff(source.splitlines(), changed.splitlines(), n=0, lineterm=""))
            removed = tuple(x[1:].strip() for x in edits[3:] if x.startswith("-"))
            added = tuple(x[1:].strip() for x in edits[3:] if x.startswith("+"))
            reached = places.get(node.lineno, range(0))
            made[changed] = Mutant(file, node.lineno, changed, removed, added, reached)
    return sorted(made.values(), key=lambda mutant: mutant.line)


def _lines_of_functions(tree: ast.AST) -> dict[int, range]:
    """For each line in a function that Python runs: the lines of its statement."""
    found: dict[int, range] = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
        compiled = decorators & {"compiled", "compiled_arithmetic", "compiled_sums", "inlined"}
        for part in function.body:
            for node in ast.walk(part):
                if isinstance(node, ast.stmt):
                    body = getattr(node, "body", None)
                    end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
                    lines = range(node.lineno, max(end, node.lineno + 1))
                    found |= dict.fromkeys(lines, range(0) if compiled else lines)
    return found


def _replaced(source: str, node: ast.expr | ast.stmt, text: str) -> str:
    """The source with a node's text replaced; positions in a syntax tree count bytes."""
    lines = source.encode().splitlines(keepends=True)
    assert node.end_lineno is not None
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    return (before + text.encode() + after).decode()


def _changes(source: str) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """A node, and the text to put into its place."""
    for node in _visible(ast.parse(source)):
        if isinstance(node, ast.expr):
            yield from ((node, ast.unparse(new)) for new in _expressions(node))
        elif isinstance(node, ast.For):
            last = node.body[-1]
            indentation = "\n" + " " * last.col_offset
            yield last, f"{ast.get_source_segment(source, last)}{indentation}break"
        elif isinstance(node, ast.stmt):
            yield from _statements(node)


def _visible(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that a test could see a change of."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child) or _is_for_types(child):
                continue
            yield child
            if not isinstance(child, (ast.Raise, ast.JoinedStr, ast.Assert)):
                yield from _visible(child)


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and not isinstance(node.value.value, (int, float))
    )


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                other = COMPARISONS[type(op)]()
                yield _with(node, ops=[*node.ops[:i], other, *node.ops[i + 1 :]])
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(node.op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for i in range(len(node.values)):
                rest = [*node.values[:i], *node.values[i + 1 :]]
                yield _with(node, values=rest) if len(rest) > 1 else rest[0]
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield from (ast.Constant(node.value + step) for step in (1, -1))
        case ast.Name() if node.id in NAMES:
            yield _with(node, id=NAMES[node.id])
        case ast.Attribute() if node.attr in NAMES:
            yield _with(node, attr=NAMES[node.attr])
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)


def _statements(node: ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield node, "pass"
        case ast.Assign() if not any(isinstance(target, ast.Name) for target in node.targets):
            if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
                yield node, "pass"
        case ast.If() | ast.While() if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)):
            yield node.test, f"not {ast.unparse(node.test)}"
        case ast.FunctionDef() if _is_procedure(node):
            yield node.body[1] if _is_text(node.body[0]) else node.body[0], "return"


def _is_procedure(node: ast.FunctionDef) -> bool:
    """It is called for what it does: no value, no generator, and more than `pass`."""
    inside = [n for statement in node.body for n in ast.walk(statement)]
    gives = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in inside)
    returns = any(isinstance(n, ast.Return) and n.value is not None for n in inside)
    simple = isinstance(node.body[-1], (ast.Pass, ast.Raise)) or _is_text(node.body[-1])
    return not gives and not returns and not simple
