"""The read side's writer: follows the log and keeps the views."""
