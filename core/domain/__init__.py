"""The rules of the shop: pure functions over frozen values. No I/O, no clock, standard library only."""
