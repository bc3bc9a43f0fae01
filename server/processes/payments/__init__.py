"""The payment provider: its port, and a simulator."""
