"""What a secure node adds to an open one: TLS, users and access rights."""
