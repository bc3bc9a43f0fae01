"""Processes of a stack on this machine, and the demo that runs on one."""
