"""A client in another language, made from the protos alone."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import stack

ROOT = Path(__file__).parents[2]
NODE, NPM = shutil.which("node"), shutil.which("npm")


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    if not NODE or not NPM:
        pytest.skip("NODE CLIENT NOT TESTED: node and npm are not installed")
    install = [NPM, "install", "--no-audit", "--no-fund", "@grpc/grpc-js@1.14.0", "@grpc/proto-loader@0.8.0"]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode:
        pytest.skip(f"NODE CLIENT NOT TESTED: npm cannot install @grpc/grpc-js: {done.stderr[-300:]}")
    return tmp_path


async def test_a_node_client_places_an_order_and_reads_it_back(
    modules: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = modules / "place_order.js"
    shutil.copy(ROOT / "tests/e2e/node/place_order.js", script)
    async with stack(tmp_path_factory.mktemp("stack"), processes=False) as running:
        addresses = running.addresses
        assert NODE is not None
        done = subprocess.run(  # noqa: ASYNC221  # nothing else runs in this loop meanwhile
            [NODE, str(script), str(ROOT), addresses.commands, addresses.queries],
            cwd=modules, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == {
        "status": "ORDER_STATUS_PLACED",
        "total": "700",
        "listed": True,
        "events": ["OrderCreated", "LineAdded", "ShippingAddressChanged", "OrderPlacedV2"],
        "typed": "700",
        "refused": {"code": 9, "details": 1},
    }
