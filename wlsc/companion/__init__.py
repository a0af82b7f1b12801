"""What turns experiments into the book: its notebooks, their results and explorers, what is printed and published."""

from wlsc._lazy import lazy_names

__getattr__, __dir__ = lazy_names("wlsc.companion", {}, ("explorers", "results"))
