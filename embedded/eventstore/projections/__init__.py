"""The five system projections, and the service that manages projections."""
