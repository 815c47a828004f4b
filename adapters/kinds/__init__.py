"""The built-in kinds of adapter."""
