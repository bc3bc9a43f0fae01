"""Settings of the projection process. Every variable has the prefix ORDERSTREAM_."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from core.config import ProcessSettings
from core.readmodel.views import VIEWS_BY_NAME


class Settings(ProcessSettings):
    """Settings of the projection process. Durations are in seconds."""

    former_names: ClassVar[Mapping[str, str]] = {
        **ProcessSettings.former_names,
        "most_behind": "batch_size_catch_up",
        "most_live": "batch_size_live",
        "most_filling": "batch_size_rebuild",
        "pace": "max_batch_rest",
        "look_every": "poll_interval",
        "verify_wholly_every": "full_verify_every",
        "grace_of_readers": "drop_delay",
        "longest_pause": "max_pause",
    }

    batch_size_catch_up: int = Field(default=4_000, gt=0, description="events in a batch while reading history")
    batch_size_live: int = Field(default=100, gt=0, description="events in a batch while following")
    batch_size_rebuild: int = Field(default=5_000, gt=0, description="events in a batch of a rebuild")
    max_batch_rest: float = Field(default=0.02, ge=0, description="longest rest between two batches under load")
    prefetched: int = Field(default=8_000, gt=0, description="events read ahead of the batch at work")
    cached_documents: int = Field(default=10_000, gt=0, description="documents kept in memory, per view")
    heartbeat: float = Field(default=1.0, gt=0, description="between two signs of life of an idle view")
    lease: float = Field(default=3.0, gt=0, description="how long an owner may be silent; above the heartbeat")
    start_within: float = Field(default=60.0, ge=0, description="for the stores to answer when starting")
    poll_interval: float = Field(
        default=1.0, gt=0, description="between two polls for requests of operators and the state of views"
    )
    keep_generation: float = Field(default=3_600.0, ge=0, description="that the old one stays after a switch")
    verify_every: float = Field(default=60.0, ge=0, description="between two looks at some documents; 0: never")
    verify_documents: int = Field(default=20, gt=0, description="looked at each time, per view")
    full_verify_every: float = Field(default=3_600.0, gt=0, description="for views whose documents share streams")
    verify_at_once: int = Field(default=100_000, gt=0, description="documents folded in one pass over the log")
    heal: bool = Field(default=False, description="repair documents that are found wrong")
    stalled_after: float = Field(default=30.0, gt=0, description="without progress while the log grows")
    measure_every: float = Field(default=5.0, gt=0, description="between two measurements of lag")
    drop_delay: float = Field(
        default=30.0,
        ge=0,
        description="between the retirement of a generation and its removal, for queries that still read it",
    )
    views: tuple[str, ...] = Field(default=(), description="that this process runs; none: all of them")
    partitions: dict[str, int] = Field(default={}, description="workers per view, of generations made from now on")
    operator_deadline: float = Field(default=600.0, gt=0, description="for operators' calls that bring none")
    max_pause: float = Field(default=1.0, gt=0, description="between two attempts while a store is down")

    @field_validator("views")
    @classmethod
    def _known(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in views if name not in VIEWS_BY_NAME]
        if unknown:
            raise ValueError(f"there is no view {unknown[0]}; there are {', '.join(VIEWS_BY_NAME)}")
        return views
