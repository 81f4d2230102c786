"""What an operator may set, by flag of ``mavis serve`` or by variable: declared once, and everything else follows."""

from server.settings.loading import load_settings
from server.settings.settings import Settings

__all__ = ["Settings", "load_settings"]
