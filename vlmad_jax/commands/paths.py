"""Flags and arguments that are paths: `~` is the home folder, wherever it stands in them.

A shell expands it where an argument begins with it, and neither in quotes nor after `--flag=`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

flags.disclaim_key_flags()  # they are the entry points', whose --help shows them


def expanded(path: str) -> str:
    """The path with `~` or `~user` at its start replaced by that home folder."""
    return os.path.expanduser(path)


def expanded_value(value: str) -> str:
    """NAME=PATH with the path expanded, or a path."""
    name, equals, path = value.partition("=")
    return f"{name}={expanded(path)}" if equals else expanded(value)


class PathParser(flags.ArgumentParser[str]):
    """Reads a path."""

    def parse(self, argument: str) -> str:
        """The path with `~` expanded."""
        return expanded(argument)

    def flag_type(self) -> str:
        """What --helpxml calls it."""
        return "path"


class PathListParser(flags.ListParser):
    """Reads paths, or NAME=PATH, with commas between them."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """The entries with `~` expanded."""
        return [expanded_value(value) for value in super().parse(argument)]


class PathsParser(flags.ArgumentParser[str]):
    """Reads one text of paths with commas between them."""

    def parse(self, argument: str) -> str:
        """The text with `~` expanded in each of them."""
        return ",".join(map(expanded, argument.split(",")))


def define_path(name: str, default: str | None, help: str) -> flags.FlagHolder[str | None]:
    """Defines a flag that is a path, or something else that never begins with `~`: a hub id, for example."""
    return flags.DEFINE(PathParser(), name, default, help, serializer=flags.ArgumentSerializer())


def define_paths(name: str, default: str | None, help: str) -> flags.FlagHolder[str | None]:
    """Defines a flag whose value is one text: paths with commas between them."""
    return flags.DEFINE(PathsParser(), name, default, help, serializer=flags.ArgumentSerializer())


def define_path_list(name: str, default: Sequence[str], help: str) -> flags.FlagHolder[list[str]]:
    """Defines a flag that lists paths, or NAME=PATH."""
    return flags.DEFINE(PathListParser(), name, list(default), help, serializer=flags.CsvListSerializer(","))
