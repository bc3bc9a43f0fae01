"""Generators: what `make proto` writes out of the contract and the code. No process imports them."""
