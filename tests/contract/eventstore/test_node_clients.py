"""The unmodified official Node clients take the embedded node for the real one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from embedded.stack import started

PROGRAM = Path(__file__).with_name("clients.mjs")
PACKAGES = {"@eventstore/db-client": "6.2", "@kurrent/kurrentdb-client": "1"}
NOT_HERE = "NODE CLIENTS NOT TRIED: "


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(NOT_HERE + "node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    wanted = [f"{package}@{version}" for package, version in PACKAGES.items()]
    command = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", *wanted]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(NOT_HERE + "npm took longer than a minute to install them")
    if done.returncode:
        pytest.skip(NOT_HERE + f"npm cannot install them: {done.stderr[-300:]}")
    shutil.copy(PROGRAM, folder)
    return folder


@pytest.mark.parametrize("package", list(PACKAGES))
def test_an_official_client_sees_what_the_protocol_says(package: str, installed: Path) -> None:
    with started("eventstore", options=["--projections", "system"]) as uri:
        done = subprocess.run(
            ["node", PROGRAM.name, package, uri.replace("Tls", "tls")],  # whichever node is installed
            cwd=installed, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "revision": "1",
        "wrong_version": "wrong-expected-version",
        "read": ["T0", "T1"],
        "backwards": ["T1", "T0"],
        "missing": "stream-not-found",
        "subscribed": ["T0", "T1"],
        "filtered": ["T0", "T1"],
        "exists": "persistent-subscription-exists",
        "persistent": ["T0", "T1"],
        "start": "start",
        "listed": 2,
        "gone": "persistent-subscription-does-not-exist",
        "category": ["T0", "T1"],
        "projection": "Faulted",
        "stopped": "Stopped",
        "projections": [
            f"${name} Running"
            for name in ("by_category", "by_correlation_id", "by_event_type", "stream_by_category", "streams")
        ],
        "metadata": {"maxCount": 1},
        "truncated": ["T1"],
        "deleted": "stream-not-found",
        "tombstoned": "stream-deleted",
    }
