"""Stubs of the contract in other languages compile, made in an empty folder with what their users have."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PROTOS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
GO_MODULE = "orderstream.io/protos"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def done(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    ran = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, (command, ran.stdout[-3_000:], ran.stderr[-3_000:])


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"STUBS NOT TESTED: there is no {', '.join(missing)}")


def test_go(tmp_path: Path) -> None:
    needs("go")
    plugins = tmp_path / "bin"
    for plugin in GO_PLUGINS:
        done("go", "install", plugin, cwd=tmp_path, environment={"GOBIN": str(plugins)})
    module = tmp_path / "protos"
    module.mkdir()
    out = [f"--{kind}_{what}" for kind in ("go", "go-grpc") for what in (f"out={module}", f"opt=module={GO_MODULE}")]
    given = [f"--plugin={plugin}" for plugin in plugins.iterdir()]
    done(sys.executable, "-m", "grpc_tools.protoc", "-I.", *given, *out, *PROTOS, cwd=ROOT)
    done("go", "mod", "init", GO_MODULE, cwd=module)
    done("go", "mod", "tidy", cwd=module)
    done("go", "build", "./...", cwd=module)
    services = [proto for proto in PROTOS if "\nservice " in (ROOT / proto).read_text()]
    made = {str(path.relative_to(module)) for path in module.glob("*/v1/*_grpc.pb.go")}
    assert made == {service.removeprefix("protos/").replace(".proto", "_grpc.pb.go") for service in services}


def test_java(tmp_path: Path) -> None:
    needs("mvn", "javac")
    shutil.copy(ROOT / "tests" / "e2e" / "java" / "pom.xml", tmp_path)
    contract = tmp_path / "contract"
    shutil.copytree(ROOT / "protos", contract / "protos", ignore=shutil.ignore_patterns("*.py", "*.pyi", "*.binpb"))
    done("mvn", "--batch-mode", "--quiet", f"-Dprotos={contract}", "compile", cwd=tmp_path)
    classes = {
        path.name for path in (tmp_path / "target" / "classes" / "io" / "orderstream" / "orders" / "v1").iterdir()
    }
    assert {"OrderCommandServiceGrpc.class", "CreateOrderRequest.class", "OrderPlacedV2.class"} <= classes
