"""What every process shares: the domain, the client of the event store, the read model, the edge of every RPC.

It imports nothing of ours but the contract. `server` and `projections` stand on it, and never on each other.
"""
