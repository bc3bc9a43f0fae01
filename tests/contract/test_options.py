"""Each file of the contract says where its stubs belong in other languages: without that, some generators refuse it."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

IMAGE = Path(__file__).parents[2] / "protos" / "main.binpb"
FILES = [file for file in FileDescriptorSet.FromString(IMAGE.read_bytes()).file if file.name.startswith("protos/")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_names_its_packages(file: FileDescriptorProto) -> None:
    context, version = file.package.split(".")
    options = file.options
    assert options.go_package == f"orderstream.io/protos/{context}/{version};{context}{version}"
    assert (options.java_package, options.java_multiple_files) == (f"io.orderstream.{context}.{version}", True)
    assert options.csharp_namespace == f"Orderstream.{context.capitalize()}.{version.upper()}"
