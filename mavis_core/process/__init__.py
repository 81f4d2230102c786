"""The loop that owns an engine, on a thread or in a process, and the event loop's side of it. Free of torch."""
