"""What proves that documents are what the log says."""
