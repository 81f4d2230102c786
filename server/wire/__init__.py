"""Connections: HTTP/1.1, TLS, limits of size, time and number; the process that ends well."""
