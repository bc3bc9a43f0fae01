"""What every process shares: the domain, the client of the event store, the read model, the edge of every RPC.

It imports nothing of ours but the contract. `server` and `projections` use it, and never import each other.
"""
