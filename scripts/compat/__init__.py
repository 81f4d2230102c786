"""Other projects' tests and clients, run against a live server of ours."""
