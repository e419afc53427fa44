"""Finds the readers: every module of a package that holds a class `Reader`."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from collectors.training_log.line import LineReader


def readers(package: ModuleType) -> list[LineReader]:
    """A fresh instance of each reader of the package, by the modules' names in alphabetical order."""
    names = sorted(module.name for module in iter_modules(package.__path__))
    return [import_module(f"{package.__name__}.{name}").Reader() for name in names]
