"""Persistent subscriptions: competing consumers whose place in the log the node keeps."""
