"""Every reason of the domain is raised by a test of the domain, and every command and event of an order is in one."""

import ast
from pathlib import Path
from typing import get_args

from core.domain.order.commands import OrderCommand
from core.domain.rejection import Reason
from core.eventstore.registry import ROWS

TESTS = Path(__file__).parents[1] / "unit" / "domain"
SUPPORT = Path(__file__).parents[1] / "support" / "orders.py"


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(TESTS.glob("test_*.py"))]


def test_every_reason_is_raised_by_a_test() -> None:
    raised = {
        argument.attr
        for tree in trees()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "rejected"
        for argument in call.args
        if isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "Reason"
    }
    assert {reason.name for reason in Reason} - raised == set()


def test_every_command_and_event_of_an_order_is_in_a_test() -> None:
    builders = {
        ast.unparse(function.returns): function.name
        for function in ast.walk(ast.parse(SUPPORT.read_text()))
        if isinstance(function, ast.FunctionDef) and function.returns is not None
    }
    used = {name.id for tree in trees() for name in ast.walk(tree) if isinstance(name, ast.Name)}
    commands = {command.__name__ for command in get_args(OrderCommand)}
    events = {row.event.__name__ for row in ROWS if row.category == "order"}
    assert {name for name in commands | events if builders.get(name) not in used} == set()
