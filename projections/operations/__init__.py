"""The services of operators, and the plans behind them."""
