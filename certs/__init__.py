"""Keys, X.509 profiles, the authority and gRPC credentials. Imports nothing of ours."""
