"""Prometheus metrics of each view; lag and rebuilds are reported by the process that owns the view."""

from prometheus_client import Counter, Gauge

from projections.engine.lag import Lag

LAG_EVENTS = Gauge("orderstream_projection_lag_events", "Events the view lacks, counted up to a thousand.", ["view"])
LAG_SECONDS = Gauge("orderstream_projection_lag_seconds", "For how long the first event it lacks has waited.", ["view"])
LOG_MISMATCH = Gauge("orderstream_projection_log_mismatch", "1 if it was made from another log: rebuild it.", ["view"])
STALLED = Gauge("orderstream_projection_stalled", "1 if it makes no progress though the log grows.", ["view"])
REBUILT = Gauge("orderstream_projection_rebuild_progress_ratio", "Share of the rebuild under way; 0: none.", ["view"])
VERIFIED = Counter("orderstream_projection_verified_documents_total", "Documents compared with the log.", ["view"])
DIFFERENCES = Counter("orderstream_projection_differences_total", "Documents that were not as the log says.", ["view"])


def report(view: str, lag: Lag, *, stalled: bool, rebuilt: float) -> None:
    LAG_EVENTS.labels(view).set(lag.events)
    LAG_SECONDS.labels(view).set(lag.seconds)
    STALLED.labels(view).set(int(stalled))
    REBUILT.labels(view).set(rebuilt)
