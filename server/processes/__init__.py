"""Process managers: reconcilers that read events and send commands, one order at a time (a saga per order)."""
