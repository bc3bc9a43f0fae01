"""The writer of the read models: follows the log and updates the views."""
