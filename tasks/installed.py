"""Which version of a package is installed."""

from importlib.metadata import PackageNotFoundError, version


def installed(package: str) -> str | None:
    """Its version; that of ``<package>-skinny``, as MLflow has one, where only this is there; None without either."""
    for name in (package, f"{package}-skinny"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
