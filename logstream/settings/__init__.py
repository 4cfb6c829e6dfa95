"""Settings: everything that can be configured, validated once at the door.

`models.py` says what exists, with types, limits and defaults; `sources.py` says where a value comes
from (flags, environment, file, defaults, in this order) and remembers it; `values.py` reads sizes and
addresses. conf/logstream.ini documents every key, and a test compares it with the models.
"""

from logstream.settings.models import ClientSettings, NodeSettings, Settings, SettingsError, SharedSettings
from logstream.settings.sources import load

__all__ = ["ClientSettings", "NodeSettings", "Settings", "SettingsError", "SharedSettings", "load"]
