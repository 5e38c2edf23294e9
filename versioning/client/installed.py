"""Which stampline this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return "unknown" for files that were copied, not installed."""
    try:
        return version("stampline")
    except PackageNotFoundError:
        return "unknown"
