"""The federation's authority: its record of members, the TUF repository with the directory, and the service for it."""
