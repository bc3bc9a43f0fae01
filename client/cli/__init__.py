"""The command line `orderstream`."""

from client.cli.main import main

__all__ = ["main"]
