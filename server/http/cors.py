"""Lets pages of other origins call (CORS): Starlette's middleware, with the headers that they may read."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from server.settings import Settings

LIMITS = [f"x-ratelimit-{what}-{kind}" for kind in ("requests", "tokens") for what in ("limit", "remaining", "reset")]
EXPOSED = ["x-request-id", "request-id", "x-ignored-fields", "retry-after", "x-should-retry", *LIMITS]


def allow_browsers(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=settings.allowed_methods,
        allow_headers=settings.allowed_headers,
        allow_credentials=settings.allow_credentials,
        expose_headers=EXPOSED,
    )
