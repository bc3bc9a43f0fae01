"""What can be set from outside. Every name carries the prefix ORDERSTREAM_, e.g. ORDERSTREAM_EVENTSTORE_URI."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WrongSettingError(ValueError):
    """One line that names the variable and says what it should look like."""


class Settings(BaseSettings):
    """Settings of commands, queries and processes. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="ORDERSTREAM_", frozen=True, extra="ignore")

    eventstore_uri: str = "esdb://127.0.0.1:2113?Tls=false"
    eventstore_read_uri: str = Field(default="", description="followers, for the queries' reads; none: eventstore_uri")
    mongo_uri: str = "mongodb://127.0.0.1:27017/"
    mongo_database: str = "orderstream"
    host: str = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0 in a container")
    log_level: str = "INFO"
    metrics_port: int | None = Field(default=None, description="serves Prometheus metrics if given")
    reflection: bool = True

    default_deadline: float = Field(default=10.0, gt=0, description="for calls that bring none")
    # a claim on an e-mail address counts for five minutes: no command may be under way for as long
    longest_deadline: float = Field(default=60.0, gt=0, le=240.0, description="longer ones are cut to this")
    most_concurrent_calls: int = Field(default=1_000, gt=0, description="above: RESOURCE_EXHAUSTED")
    largest_request: int = Field(default=256 * 1024, gt=0, description="above: RESOURCE_EXHAUSTED")
    drain_delay: float = Field(
        default=5.0, ge=0, description="between NOT_SERVING and the end of new calls: a load balancer takes a while"
    )
    grace: float = Field(default=10.0, ge=0, description="for calls in flight when stopping")

    cached_aggregates: int = Field(default=10_000, gt=0, description="folded aggregates kept in memory")
    watch_heartbeat: float = Field(default=10.0, gt=0, description="without a change, a watch says so this often")
    most_watches: int = Field(default=500, gt=0, description="at once; above: RESOURCE_EXHAUSTED")
    most_waiting_changes: int = Field(default=1_000, gt=0, description="per watch; above: WATCH_TOO_SLOW")
    snapshot_every: int = Field(default=250, ge=10, le=3_000, description="events of a stream between two snapshots")
    place_within: float = Field(default=3 * 24 * 3600.0, gt=0, description="a placed order expires after this")

    run_by_hand: bool = Field(
        default=False, description="no process service brings orders on: none of them gets a process by itself"
    )
    payments: str = Field(default="simulator", description="the provider, and its rules; only a simulator exists")
    orders_at_once: int = Field(default=16, gt=0, description="orders that the processes work on side by side")
    sweep_every: float = Field(
        default=60.0, gt=0, description="between two looks for orders that the group did not bring to their process"
    )
    step_within: float = Field(default=15.0, gt=0, description="for one attempt at a step of a process")
    step_attempts: int = Field(default=12, gt=1, description="then the step waits for an operator")
    first_retry: float = Field(default=0.5, gt=0, description="after a failure; each further pause is twice as long")
    longest_retry: float = Field(default=300.0, gt=0, description="no pause between two attempts is longer")
