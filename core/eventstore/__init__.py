"""All code between the domain and the log: event names, encoding, streams, aggregates."""
