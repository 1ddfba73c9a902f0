"""How a module is trained on windows of a series."""
