"""The lifecycle of generations: supervision, rebuild, removal, repair, and the audit log of operators."""
