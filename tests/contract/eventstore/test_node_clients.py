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


WANTED = {
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
    "again": ["3 true", "3 true"],
    "refused": "false 1",  # these clients' own slip: they report that there is a revision, not which
    "missing_stream": "wrong-expected-version",
    "large": "maximum-append-size-exceeded",
    "large_in_chunks": "maximum-append-size-exceeded",
    "many": True,
    "forms": ["json 0 true true", "binary 1 false true", "T2 2 true true", "T3 3 true true"],
    "data": ["ü", "c", "00ff"],
    "parts": [["binary", "T2"], ["T3"]],
    "after": ["T3"],
    "live": ["live"],
    "checked": ["binary", "T2", "T3"],
    "checkpoints": True,
    "gone_while_followed": "stream-deleted",
    "settings": [1, "RoundRobin", 1, "forms"],
    "too_many": "maximum-subscribers-reached",
    "met": ["json 0", "json 1", "binary 0", "T2 0", "T3 0", "live 0"],
    "parked": 1,
    "replayed": ["live", "binary"],  # what was in flight comes before what was parked
    "parked_after": 0,
    "updated": 7,
    "of_stream": ["forms"],
    "of_all": ["json", "binary"],
    "all_updated": 8,
    "all_listed": ["forms"],
    "dropped": "persistent-subscription-dropped",
    "unknown_group": "persistent-subscription-does-not-exist",
    "category": ["T0", "T1"],
    "projection": "Faulted",
    "state": {},
    "result": {},
    "stopped": "Stopped",
    "no_projection": "not-found",
    "projections": [
        f"${name} Running"
        for name in ("by_category", "by_correlation_id", "by_event_type", "stream_by_category", "streams")
    ],
    "metadata": {"maxCount": 1},
    "truncated": ["T1"],
    "delete_refused": "wrong-expected-version",
    "deleted": "stream-not-found",
    "tombstoned": "stream-deleted",
}
OF_ONE: dict[str, dict[str, object]] = {
    "@eventstore/db-client": {"multi": None},
    "@kurrent/kurrentdb-client": {
        "multi": "unsupported",
        "all": {
            "prefix": ["json", "binary"],
            "regex": ["json", "binary"],
            "streams": ["json", "binary", "T2", "T3"],
            "backwards": ["binary", "json"],
            "user": True,
        },
    },
}


@pytest.mark.parametrize("package", list(PACKAGES))
def test_an_official_client_sees_what_the_protocol_says(package: str, installed: Path) -> None:
    with started("eventstore", options=["--projections", "system"]) as uri:
        done = subprocess.run(
            ["node", PROGRAM.name, package, uri.replace("Tls", "tls")],  # whichever node is installed
            cwd=installed, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {**WANTED, **OF_ONE[package]}
