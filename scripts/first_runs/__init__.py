"""First runs: what five kinds of newcomers meet who do what the pages say, word for word."""
