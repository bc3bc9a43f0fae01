"""The additions of a secure node: TLS, users and access rights."""
