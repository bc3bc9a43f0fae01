"""Writes `contexts.pyi`: the typed signature of every RPC, from the descriptors. `make proto` runs it."""

import sys
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor

from client.sdk.calls import Context
from client.sdk.contexts import CONTEXTS

SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "str",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_UINT32: "int",
    FieldDescriptor.CPPTYPE_UINT64: "int",
}


class Stub:
    """The text, and the modules that it has to import."""

    def __init__(self) -> None:
        self._modules: set[str] = set()

    def text(self) -> str:
        classes = [line for context in CONTEXTS for line in self._class(context.__name__, _methods(context))]
        return "\n".join(
            [
                "# Made by `make proto`. Do not edit.",
                "import collections.abc",
                "import typing",
                "",
                *(f"import {module}" for module in sorted(self._modules)),
                "from client.sdk.calls import Caller, Context",
                "",
                "Fields = collections.abc.Mapping[str, typing.Any]",
                *classes,
                "",
                "CONTEXTS: tuple[type[Context], ...]",
                "",
            ]
        )

    def _class(self, name: str, methods: list[MethodDescriptor]) -> Iterator[str]:
        yield from ("", f"class {name}:", "    def __init__(self, caller: Caller) -> None: ...")
        for method in methods:
            reply, fields = self._name(method.output_type), self._fields(method.input_type)
            if method.server_streaming:
                yield f"    def {method.name}({fields}) -> collections.abc.AsyncIterator[{reply}]: ..."
            else:
                yield f"    async def {method.name}({fields}) -> {reply}: ..."
        paged = [method for method in methods if "next_page_token" in method.output_type.fields_by_name]
        for method in paged:
            if len(paged) > 1:
                yield "    @typing.overload"
            fields = self._fields(method.input_type).replace("self, ", f"self, name: typing.Literal[{method.name!r}], ")
            yield f"    def pages({fields}) -> collections.abc.AsyncIterator[{self._name(method.output_type)}]: ..."

    def _fields(self, request: Descriptor) -> str:
        fields = [f"{field.name}: {self._type(field)} = ..." for field in request.fields]
        return ", ".join(["self", "*", *fields, "deadline: float | None = ..."])

    def _type(self, field: FieldDescriptor) -> str:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name
            return f"collections.abc.Mapping[{self._single(of['key'])}, {self._single(of['value'])}]"
        if field.label == FieldDescriptor.LABEL_REPEATED:  # type: ignore[attr-defined]  # missing in its stubs
            return f"collections.abc.Iterable[{self._single(field)}]"
        return f"{self._single(field)} | None" if field.message_type or field.has_presence else self._single(field)

    def _single(self, field: FieldDescriptor) -> str:
        if field.message_type is not None:
            return f"{self._name(field.message_type)} | Fields"
        if field.enum_type is not None:
            return f"{self._name(field.enum_type)}.ValueType | str"
        if field.type == FieldDescriptor.TYPE_BYTES:
            return "bytes"
        return SCALARS[field.cpp_type]

    def _name(self, of: Descriptor | EnumDescriptor) -> str:
        module = of.file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
        self._modules.add(module)
        return f"{module}.{of.full_name.removeprefix(of.file.package + '.')}"


def _methods(context: type[Context]) -> list[MethodDescriptor]:
    services = [service for file in context.files.values() for service in file.services_by_name.values()]
    return [method for service in services for method in service.methods]


if __name__ == "__main__":
    sys.stdout.write(Stub().text())
