"""The HTTP layer: OpenAI's shapes in front of any ``mavis_core.api.engine_client.EngineClient``.

Imports only the torch-free files of ``mavis_core``; ``server/__main__.py`` alone, the composition root, knows
engines and models. Nothing is global: all state hangs on the app that ``server.app.create_app`` returns.
"""
