"""The generations of a view: the live one for readers, and the others. One document, changed atomically.

A change is a pure function; `GenerationStore.change` writes its result only if the document is still the same. So a
switch, and a rollback, is one atomic step.

building      a generation that is filled beside the live one, without readers
generation    the live one
kept          the previous one, which still follows the log, for a rollback
dropping      retired generations; their documents are being removed
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from core.readmodel.journaled import journaled

Document = dict[str, Any]
FIRST_GENERATION = 1
MAX_TRIES = 10


class Phase(StrEnum):
    """The names are those of RebuildPhase without its prefix."""

    SEEDING = "SEEDING"
    FILLING = "FILLING"
    VERIFYING = "VERIFYING"
    SWITCHED = "SWITCHED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInfo:
    """How a generation is made: the number of workers, each with its own checkpoint, and the handlers' code."""

    partitions: int = 1
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRebuild:
    """A running rebuild. `total` is the number of events to apply; times are in µs since the epoch.

    `since` is the position of a reset: documents that have not changed since are taken over as they are; 0: none.
    """

    generation: int
    plan_id: str
    started_at: int
    total: int
    phase: Phase = Phase.FILLING
    since: int = 0
    allow_parked: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousGeneration:
    """`until` is when it may be dropped, in µs since the epoch."""

    generation: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the last rebuild ended."""

    plan_id: str
    from_generation: int
    to_generation: int
    events: int
    documents: int
    micros: int
    verified: bool
    differences: int
    switched: bool
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewGenerations:
    """`newest` is the highest number ever given to a generation; `version` counts changes, `switches` those that
    readers see.
    """

    view: str
    version: int = 0
    generation: int = FIRST_GENERATION
    newest: int = FIRST_GENERATION
    switches: int = 0
    request_count: int = 0  # requests to the owner of the view so far
    paused: bool = False
    building: ActiveRebuild | None = None
    kept: PreviousGeneration | None = None
    dropping: tuple[int, ...] = ()
    outcome: Outcome | None = None
    made: Mapping[int, BuildInfo] = field(default_factory=dict)

    def info(self, generation: int) -> BuildInfo:
        return self.made.get(generation, BuildInfo())

    @property
    def shape(self) -> tuple[int, ...]:
        """What plans depend on: the generations, and their roles."""
        building, kept = self.building, self.kept
        fills = (0, 0) if building is None else (building.generation, int(building.phase is Phase.FAILED))
        return (self.generation, self.switches, self.newest, *fills, 0 if kept is None else kept.generation)

    def active(self) -> tuple[int, ...]:
        """The generations that follow the log."""
        others = (self.kept, self.building)
        return (self.generation, *(one.generation for one in others if one is not None))


# ------------------------------------------------------------------ changes


def rebuild_started(pointer: ViewGenerations, building: ActiveRebuild, made: BuildInfo) -> ViewGenerations:
    """A new generation begins to fill. A failed one is removed first."""
    abandoned = () if pointer.building is None else (pointer.building.generation,)
    return replace(
        pointer,
        building=building,
        newest=building.generation,
        dropping=(*pointer.dropping, *abandoned),
        made={**pointer.made, building.generation: made},
    )


def phase_entered(pointer: ViewGenerations, generation: int, phase: Phase) -> ViewGenerations:
    assert pointer.building is not None, "a phase is one of a rebuild"
    assert pointer.building.generation == generation, "a phase is one of this rebuild"
    return replace(pointer, building=replace(pointer.building, phase=phase))


def failed(pointer: ViewGenerations, outcome: Outcome) -> ViewGenerations:
    """It stays as it is, for inspection, until it is dropped or the next rebuild begins."""
    assert pointer.building is not None, "a rebuild fails"
    building = replace(pointer.building, phase=Phase.FAILED, failure=outcome.failure)
    return replace(pointer, building=building, outcome=outcome)


def switched(pointer: ViewGenerations, outcome: Outcome, keep_until: int) -> ViewGenerations:
    """Readers switch to the new generation; the former one is kept, the one kept so far is retired."""
    assert pointer.building is not None, "a rebuild ends in a switch"
    before = () if pointer.kept is None else (pointer.kept.generation,)
    return replace(
        pointer,
        generation=pointer.building.generation,
        switches=pointer.switches + 1,
        building=None,
        kept=PreviousGeneration(generation=pointer.generation, until=keep_until),
        dropping=(*pointer.dropping, *before),
        outcome=outcome,
    )


def rolled_back(pointer: ViewGenerations, keep_until: int) -> ViewGenerations:
    """Live and kept change places; so a second rollback undoes the first."""
    assert pointer.kept is not None, "there is something to go back to"
    return replace(
        pointer,
        generation=pointer.kept.generation,
        switches=pointer.switches + 1,
        kept=PreviousGeneration(generation=pointer.generation, until=keep_until),
    )


def retired(pointer: ViewGenerations, generation: int) -> ViewGenerations:
    """The kept one, or one that is building, is retired."""
    building, kept = pointer.building, pointer.kept
    return replace(
        pointer,
        building=None if building is not None and building.generation == generation else building,
        kept=None if kept is not None and kept.generation == generation else kept,
        dropping=(*pointer.dropping, generation),
    )


def removed(pointer: ViewGenerations, generation: int) -> ViewGenerations:
    """All its documents are removed."""
    return replace(
        pointer,
        dropping=tuple(one for one in pointer.dropping if one != generation),
        made={number: made for number, made in pointer.made.items() if number != generation},
    )


# ------------------------------------------------------------------ stored


class GenerationStore:
    """Collection `projections`: one document per view."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._generations: AsyncCollection[Document] = journaled(database)["projections"]

    async def get(self, view: str) -> ViewGenerations:
        """The stored pointer; a view that was never run has none."""
        return self.from_document(view, await self._generations.find_one({"_id": view}))

    async def stored(self, views: Sequence[str]) -> dict[str, Document]:
        """The same for several views in one read, for `as_pointer`; one that cannot be read touches no other."""
        return {one["_id"]: one async for one in self._generations.find({"_id": {"$in": list(views)}})}

    @staticmethod
    def from_document(view: str, stored: Document | None) -> ViewGenerations:
        return ViewGenerations(view=view) if stored is None else _from_document(stored)

    async def change(
        self, view: str, how: Callable[[ViewGenerations], ViewGenerations | None]
    ) -> ViewGenerations | None:
        """What `how` returned for the stored generations; None if it returned None, which means no change."""
        for _ in range(MAX_TRIES):
            found = await self._generations.find_one({"_id": view})
            before = self.from_document(view, found)
            after = how(before)
            if after is None:
                return None
            after = replace(after, version=before.version + 1)
            if found is None:
                try:
                    await self._generations.insert_one(_to_document(after))
                except DuplicateKeyError:
                    continue
                return after
            guard = {"_id": view, "version": found.get("version")}
            if await self._generations.find_one_and_replace(
                guard, _to_document(after), return_document=ReturnDocument.AFTER
            ):
                return after
        raise RuntimeError(f"the generations of {view} were changed by others {MAX_TRIES} times in a row")


def _to_document(pointer: ViewGenerations) -> Document:
    document = asdict(pointer)
    document["_id"] = document.pop("view")
    document["asked"] = document.pop("request_count")
    document["dropping"] = list(pointer.dropping)
    document["made"] = {str(number): asdict(made) for number, made in pointer.made.items()}
    if pointer.building is not None:
        document["building"]["phase"] = str(pointer.building.phase)
    return document


def _from_document(found: Document) -> ViewGenerations:
    building, kept, outcome = found.get("building"), found.get("kept"), found.get("outcome")
    return ViewGenerations(
        view=found["_id"],
        version=found.get("version") or 0,
        generation=found["generation"],
        newest=found.get("newest") or found["generation"],
        switches=found.get("switches", 0),
        request_count=found.get("asked", 0),
        paused=bool(found.get("paused")),
        building=ActiveRebuild(**{**building, "phase": Phase(building["phase"])}) if building else None,
        kept=PreviousGeneration(**kept) if kept else None,
        dropping=tuple(found.get("dropping", ())),
        outcome=Outcome(**outcome) if outcome else None,
        made={int(number): BuildInfo(**made) for number, made in found.get("made", {}).items()},
    )
