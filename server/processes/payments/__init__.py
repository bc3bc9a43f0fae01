"""The payment provider: what is asked of one, and a simulator of one."""
