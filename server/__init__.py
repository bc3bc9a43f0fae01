"""The write side and the API: commands decide against the log, queries answer from the views."""
