"""The page for those who follow the log: its program runs as it stands there, and goes on where it stopped."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.sdk import OrderstreamClient
from tests.support.calling import fresh_email
from tests.support.processes import stack

PAGE = Path(__file__).parents[2] / "docs/subscribing.md"


@contextmanager
def following(program: Path, uri: str, kept: Path) -> Iterator[Iterator[str]]:
    """The lines that the program prints."""
    process = subprocess.Popen(
        [sys.executable, str(program), uri, str(kept)], stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        yield iter(process.stdout)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_the_program_of_the_page_sees_every_event_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    program, kept = tmp_path / "follow.py", tmp_path / "position"
    program.write_text(found.group(1))

    async with stack(tmp_path / "stores", any_log=True) as running, OrderstreamClient(running.addresses) as shop:
        uri = running.eventstore_uri
        ann = (await shop.users.RegisterUser(name="Ann", email=fresh_email())).user_id
        first = (await shop.orders.CreateOrder(customer_id=ann, currency="EUR")).order_id
        with following(program, uri, kept) as lines:
            of_first = (line for line in lines if first in line)
            assert next(of_first).startswith(f"OrderCreated order-{first} 0 ")
            await shop.orders.CancelOrder(order_id=first, reason="a test")
            assert next(of_first).startswith(f"OrderCancelled order-{first} 1 ")
        second = (await shop.orders.CreateOrder(customer_id=ann, currency="EUR")).order_id
        with following(program, uri, kept) as lines:
            ours = (line for line in lines if first in line or second in line)
            line = next(ours)
            if line.startswith(f"OrderCancelled order-{first} "):  # killed before it kept the position: seen again
                line = next(ours)
            assert line.startswith(f"OrderCreated order-{second} 0 ")
