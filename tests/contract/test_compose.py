"""docker-compose.yml without a container engine: against the compose schema, and against what our code reads."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from core.config import Settings as ServerSettings
from projections.config import Settings as ProjectionSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS: dict[str, type[BaseSettings]] = {
    "commands": ServerSettings,
    "queries": ServerSettings,
    "processes": ServerSettings,
    "projections": ProjectionSettings,
}


def every(key: str) -> Iterator[tuple[str, Any]]:
    return ((name, service.get(key)) for name, service in SERVICES.items())


def test_it_satisfies_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("service", "image"), list(every("image")))
def test_images_are_pinned(service: str, image: str) -> None:
    assert re.fullmatch(r".+:\d+\.\d+\.\d+", image), f"{service} runs {image}"


@pytest.mark.parametrize("key", ["healthcheck", "mem_limit", "cpus", "stop_grace_period", "restart"])
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_watched_and_limited(service: str, key: str) -> None:
    assert SERVICES[service].get(key)


def test_ports_are_published_once_and_to_this_machine_only() -> None:
    published = [port for _, ports in every("ports") for port in ports or ()]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(published) == len({port.split(":")[1] for port in published})


@pytest.mark.parametrize(("service", "settings"), list(OURS.items()))
def test_every_variable_of_ours_is_a_setting(service: str, settings: Any) -> None:
    known = {f"ORDERSTREAM_{name.upper()}" for name in settings.model_fields}
    assert set(SERVICES[service]["environment"]) <= known | {"ORDERSTREAM_HOST"}


def test_who_is_waited_for_exists_and_is_healthy() -> None:
    for service, needs in every("depends_on"):
        for name, condition in (needs or {}).items():
            assert name in SERVICES, f"{service} waits for {name}"
            assert condition == {"condition": "service_healthy"}


@pytest.mark.parametrize(("service", "environment"), list(every("environment")))
def test_nothing_secret_is_in_it(service: str, environment: dict[str, str] | None) -> None:
    for name, value in (environment or {}).items():
        assert not re.search("password|secret|token|key", name, re.IGNORECASE), f"{service} carries {name}"
        assert "@" not in value, f"{service} has credentials in {name}"
