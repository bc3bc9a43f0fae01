"""What follows the log and writes documents: one runner per generation and worker."""
