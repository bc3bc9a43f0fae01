"""The plans of operators' changes to a view, by what they change."""
