"""Persistent subscriptions: competing consumers whose checkpoint the node keeps."""
