"""Verification: the comparison of documents with the log."""
