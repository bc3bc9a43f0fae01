"""How a server's answers are compared with what was recorded."""

import json
import traceback
from pathlib import Path
from typing import Any

from tests.contract.eventstore.recorded.scenarios import SCENARIOS
from tests.contract.eventstore.recorded.transcript import Transcript, dumped

FOLDER = Path(__file__).parent / "24.10.14"
ORDER = "positions in order"  # which position stands before which: one list for all steps of a scenario


def recording(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The recorded conversation."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


async def transcript_of(address: str, name: str, recorded: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """How this server answers, and the traceback where our side of the scenario could not go on.

    With `recorded` it waits for what was recorded, without it for silence.
    """
    async with Transcript(address, name, None if recorded is None else recorded["steps"]) as transcript:
        broken = ""
        try:
            await SCENARIOS[name](transcript)
        except Exception:  # noqa: BLE001  # an answer of another shape ends a scenario, not the run
            broken = "".join(traceback.format_exc(limit=-2))
    seen: dict[str, Any] = json.loads(dumped(transcript.normalised()))  # as it would be read from a file
    return seen, broken


def differences(recorded: dict[str, Any], seen: dict[str, Any]) -> set[str]:
    """The titles of the steps that differ; `ORDER` if all steps are equal and their positions are in another order."""
    ours, theirs = seen["steps"], recorded["steps"]
    differing = {theirs[n]["step"] for n in range(len(theirs)) if n >= len(ours) or ours[n] != theirs[n]}
    differing |= {step["step"] for step in ours[len(theirs) :]}
    return differing or ({ORDER} if seen != recorded else set())
