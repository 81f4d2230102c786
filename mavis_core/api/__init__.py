"""What goes in and out of an engine: requests, outputs, settings, errors. Free of torch."""
