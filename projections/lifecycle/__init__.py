"""Generations of views: supervision, rebuild, removal, repair, and the record of what operators did."""
