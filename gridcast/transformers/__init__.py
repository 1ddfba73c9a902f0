"""How a series is scaled, and how that is undone."""
