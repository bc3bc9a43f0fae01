"""Orders as they change: one reader of the log for all who watch."""
