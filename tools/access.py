"""docs/access.md, made of the contract by `make proto`: who may call which RPC, and which need a reason."""

import sys
from collections.abc import Iterator

from core.security.access import Access, access_of, methods_of, role_name
from core.security.contract import SERVICES
from protos.common.v1 import access_pb2

HEAD = """# Who may call what

Made of the contract by `make proto`: the option `access` of each RPC (`protos/common/v1/access.proto`). A caller needs
the role; none includes another one. Where it says *own*, a caller with the role `customer` may call it as well, for its
own orders and its own user. A process that asks who calls refuses everything else ([security](security.md)). Where it
says *reason*, a request has to say why ([reasons](security.md#why-an-operator-acts)).

| RPC | role | customer | reason |
|---|---|---|---|
"""


def rows() -> Iterator[str]:
    for method in methods_of(SERVICES):
        access = access_of(method)
        service = method.containing_service.full_name
        customer = "own" if access.customer else ""
        yield f"| `{service}/{method.name}` | `{access.role}` | {customer} | {reason_of(access)} |\n"


def reason_of(access: Access) -> str:
    if not access.reason:
        return ""
    return f"reason, with `{access.reason_if}`" if access.reason_if else "reason"


def roles() -> Iterator[str]:
    yield "\n## Roles\n\n| role | RPCs |\n|---|---|\n"
    found = [access_of(method) for method in methods_of(SERVICES)]
    for number in access_pb2.Role.values():
        if name := role_name(number) if number else "":
            count = sum(access.role == name or (access.customer and name == "customer") for access in found)
            yield f"| `{name}` | {count} |\n"


def page() -> str:
    return HEAD + "".join(sorted(rows())) + "".join(roles())


if __name__ == "__main__":
    sys.stdout.write(page())
