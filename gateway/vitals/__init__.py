"""What a gateway tells of its own state: facts for the health page, and figures that are read when somebody looks."""
