"""Groups of commands, whose help waits for nothing that only their work needs."""

from collections.abc import Callable, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_F = TypeVar("_F", bound=Callable[..., Any])


class _Command(TyperCommand):
    """A command, which prepares the process when it runs; its help needs none of that."""

    def invoke(self, ctx: Any) -> Any:
        if ctx.obj is not None:
            ctx.obj()  # given by `worker.cli.main`
        return super().invoke(ctx)


class Commands(typer.Typer):
    """Commands of ours; without a name in ``add_typer`` they stand beside the groups."""

    def command(self, name: str | None = None, **more: Any) -> Callable[[_F], _F]:
        """Register a function as a command."""
        return super().command(name, cls=_Command, **more)


def group(help_: str) -> Commands:
    """Return a new group of commands."""
    return Commands(no_args_is_help=True, help=help_)


def later(module: str) -> type[TyperGroup]:
    """Return the class of a group whose commands are those of a module's ``app``, imported when somebody looks at them.

    For commands that are built from the connectors.
    """

    class Later(TyperGroup):
        @property
        def commands(self) -> MutableMapping[str, Any]:
            return _commands(module)

        @commands.setter
        def commands(self, _: MutableMapping[str, Any]) -> None:
            """Typer sets those that it knows: none."""

    return Later


@cache
def _commands(module: str) -> MutableMapping[str, Any]:
    return dict(typer.main.get_group(import_module(module).app).commands)
