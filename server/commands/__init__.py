"""The command side: a request is decided against the log and answered when its events are durable."""
