"""Profiles: which servers, over which TLS, as whom. They stand in a file, so that a command names one by one word.

[profiles.prod]
commands = "commands.shop.example:50051"
tls_ca = "/etc/orderstream/ca.pem"
token_file = "/run/secrets/orderstream_token"
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from client.cli.output import fail

FILE = "orderstream/config.toml"
PLACES = ("commands", "queries", "projections", "processes")
FILES = ("tls_ca", "tls_certificate", "tls_key", "token_file")
KNOWN = (*PLACES, *FILES, "actor")


def config_file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / FILE


def profile(name: str, file: Path | None = None) -> Mapping[str, str]:
    """Its values by the names of the options; the command ends if there is no such profile. Paths may begin with ~."""
    file = file or config_file()
    try:
        found = tomllib.loads(file.read_text()).get("profiles", {})
    except OSError as error:
        fail(f"cannot read {file}, which has the profiles: {error.strerror}", 2)
    except ValueError as error:
        fail(f"{file} is not TOML: {error}", 2)
    if name not in found:
        fail(f"there is no profile {name} in {file}; there are {', '.join(found) or 'none'}", 2)
    values: Mapping[str, object] = found[name]
    for key, value in values.items():
        if key not in KNOWN or not isinstance(value, str):
            fail(f"{file}: {key} of the profile {name} is not one of {', '.join(KNOWN)}, as a text", 2)
    return {key: str(Path(str(value)).expanduser()) if key in FILES else str(value) for key, value in values.items()}
