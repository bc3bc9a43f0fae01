"""The engine: follows the log and writes documents, with one runner per generation and worker."""
