"""Record what a server answers, or compare a server with what was recorded.

    python -m tests.contract.eventstore.recorded record HOST:PORT FOLDER [--jobs N] [SCENARIO...]
    python -m tests.contract.eventstore.recorded check  HOST:PORT FOLDER [--jobs N] [SCENARIO...]

Both want a server of their own, freshly started, insecure, with all projections. `check` prints the difference of each
scenario that differs, and exits 1 where one does.
"""

import argparse
import asyncio
import difflib
import sys
from pathlib import Path

from tests.contract.eventstore.recorded.comparison import differences, recording, transcript_of
from tests.contract.eventstore.recorded.scenarios import ALONE, SCENARIOS
from tests.contract.eventstore.recorded.transcript import dumped


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def record(address: str, folder: Path, name: str) -> bool:
    """Write down what the server answers."""
    seen, broken = await transcript_of(address, name, None)
    if broken:
        say(f"{name}: {broken}")
        return False
    (folder / f"{name}.json").write_text(dumped(seen))
    say(f"{name}: recorded")
    return True


async def check(address: str, folder: Path, name: str) -> bool:
    """Compare one scenario; whether it is equal."""
    expected = recording(name, folder)
    seen, broken = await transcript_of(address, name, expected)
    if not (differing := differences(expected, seen)):
        say(f"{name}: equal")
        return True
    say(f"{name}: differs in {len(differing)} of {len(expected['steps'])} steps")
    was, now = (dumped(each).splitlines(keepends=True) for each in (expected, seen))
    say("".join(difflib.unified_diff(was, now, "recorded", "this server", n=6)) + broken)
    return False


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["record", "check"])
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--jobs", type=int, default=4, help="how many scenarios run side by side (4)")
    given = parser.parse_intermixed_args()
    if unknown := sorted(set(given.names) - set(SCENARIOS)):
        parser.error(f"no such scenario: {', '.join(unknown)}")
    act = record if given.action == "record" else check
    places = asyncio.Semaphore(given.jobs)

    async def run(name: str) -> bool:
        async with places:
            return await act(given.address, given.folder, name)

    done = await asyncio.gather(*(run(name) for name in given.names if name not in ALONE))
    for name in ALONE:  # these change the server for all: in this order, after the others
        if name in given.names:
            done.append(await run(name))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
