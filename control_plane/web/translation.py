"""Every sentence for people goes through here; a catalogue of another language replaces these two."""

from gettext import gettext as _
from gettext import ngettext

LANGUAGE = "en"
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})

__all__ = ["LANGUAGE", "RIGHT_TO_LEFT", "_", "ngettext"]
