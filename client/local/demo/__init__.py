"""A year of one retailer's baskets through the real services, and a proof that nothing was lost."""
