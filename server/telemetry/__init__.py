"""What operators see: Prometheus metrics, and the observations behind them."""
