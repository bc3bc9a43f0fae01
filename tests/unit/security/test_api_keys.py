"""API keys: made by the command line, known by the hash in a file."""

import json
from pathlib import Path

from core.security.api_keys import ApiKeys
from tests.support.command_line import invoke


def test_a_new_key_is_known_once_its_entry_is_in_the_file(tmp_path: Path) -> None:
    made = [
        json.loads(
            invoke(["keys", "new", "--name", "till-3", "--role", "shop.write", "--role", "shop.read", *more]).output
        )
        for more in (["--json"], ["--customer", "c-1", "--json"])
    ]
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(one["entry"] for one in made))
    known = ApiKeys("ORDERSTREAM_API_KEYS_FILE", file)
    for one, customer_id in zip(made, ("", "c-1"), strict=True):
        principal = known.principal_of(one["key"])
        assert principal is not None
        assert (principal.name, principal.customer_id) == ("till-3", customer_id)
        assert principal.roles == {"shop.write", "shop.read"}
        assert one["key"] not in one["entry"]
    assert known.principal_of(made[0]["key"] + "x") is None


def test_a_role_that_there_is_not_makes_no_key() -> None:
    done = invoke(["keys", "new", "--name", "till-3", "--role", "all"])
    assert done.exit_code == 2
    assert "osk_" not in done.output
