"""The live server with the fake engine, as in the server's own tests."""

from tests.server.conftest import live, serve

__all__ = ["live", "serve"]
