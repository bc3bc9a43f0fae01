"""The command side and the query API: commands decide against the log, queries answer from the read models."""
