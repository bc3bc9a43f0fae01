"""Everything between the domain and the log: names, bytes, streams, aggregates."""
