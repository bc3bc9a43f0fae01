"""What happens by itself: reconcilers that read events and send commands, one order at a time."""
