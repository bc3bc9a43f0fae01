"""What every service shares at its edge: errors, interceptors, validation, health."""
