"""Flags and arguments that are paths, in which `~` is the home folder.

A shell expands `~` only at the start of an argument, and neither in quotes nor after `--flag=`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

flags.disclaim_key_flags()  # so that --help of a command shows them as the command's own


def expanded(path: str) -> str:
    """Return the path with a leading `~` or `~user` replaced by that home folder."""
    return os.path.expanduser(path)


def expanded_value(value: str) -> str:
    """Return NAME=PATH or PATH with the path expanded."""
    name, equals, path = value.partition("=")
    return f"{name}={expanded(path)}" if equals else expanded(value)


class PathParser(flags.ArgumentParser[str]):
    """Parser of a path."""

    def parse(self, argument: str) -> str:
        """Return the path with `~` expanded."""
        return expanded(argument)

    def flag_type(self) -> str:
        """Return the name of the type in --helpxml."""
        return "path"


class PathListParser(flags.ListParser):
    """Parser of a list of paths, or NAME=PATH entries, separated by commas."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """Return the entries with `~` expanded."""
        return [expanded_value(value) for value in super().parse(argument)]


class PathsParser(flags.ArgumentParser[str]):
    """Parser of one string that holds paths separated by commas."""

    def parse(self, argument: str) -> str:
        """Return the string with `~` expanded in each path."""
        return ",".join(map(expanded, argument.split(",")))


def define_path(name: str, default: str | None, help: str) -> flags.FlagHolder[str | None]:
    """Define a flag whose value is a path, or another string that never begins with `~`, such as a hub id."""
    return flags.DEFINE(PathParser(), name, default, help, serializer=flags.ArgumentSerializer())


def define_paths(name: str, default: str | None, help: str) -> flags.FlagHolder[str | None]:
    """Define a flag whose value is one string of paths separated by commas."""
    return flags.DEFINE(PathsParser(), name, default, help, serializer=flags.ArgumentSerializer())


def define_path_list(name: str, default: Sequence[str], help: str) -> flags.FlagHolder[list[str]]:
    """Define a flag whose value is a list of paths or NAME=PATH entries."""
    return flags.DEFINE(PathListParser(), name, list(default), help, serializer=flags.CsvListSerializer(","))
