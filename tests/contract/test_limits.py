"""docs/limits.md has every bound on how many of something a request may ask for."""

from google.protobuf.descriptor import FieldDescriptor

from client.sdk.contexts import CONTEXTS
from tools.limits import of_calls, of_operators, page

HOW_MANY = ("max_", "page_size", "limit", "sample")
OF_OPERATORS = ("operations", "processes")


def bounded_fields() -> set[tuple[str, str]]:
    """Of services of operators: the RPC, and the field that says how many."""
    services = [
        service for context in CONTEXTS for file in context.files.values() for service in file.services_by_name.values()
    ]
    return {
        (method.name, field.name)
        for service in services
        if service.full_name.startswith(OF_OPERATORS)
        for method in service.methods
        for field in method.input_type.fields
        if field.name.startswith(HOW_MANY) and field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE
    }


def test_every_number_that_operators_ask_for_is_on_the_page() -> None:
    rows = [row.what for row in of_operators()]
    missing = {
        (rpc, field) for rpc, field in bounded_fields() if not any(f"`{field}`" in row and rpc in row for row in rows)
    }
    assert missing == set()


def test_the_page_has_every_table() -> None:
    reported = page()
    assert "## Services of operators" in reported
    assert all(row.what in reported for row in (*of_calls(), *of_operators()))
