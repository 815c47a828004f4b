"""What a department implements, and the built-in kinds of adapter."""
