"""``python -m server``, and the console script ``mavis``."""

from __future__ import annotations

from server.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    app()


if __name__ == "__main__":
    main()
