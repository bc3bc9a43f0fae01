"""What every service shares: the guard of its calls, errors, validation, health."""
