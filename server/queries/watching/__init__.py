"""Watches: orders as they change, with one reader of the log for all callers."""
