"""The built-in drivers. Each module talks to one SDK."""
