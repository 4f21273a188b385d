"""Errors that a user can act on.

Every message is one line: a stable code, where, what was found, what was expected and what to do. Codes `AOD-INxx` are inputs
(maps), `AOD-CFxx` configurations, `AOD-MDxx` networks, `AOD-STxx` stores of a run, `AOD-RNxx` the run itself. The command line
ends with status 2 for all of them, without a traceback.
"""

from __future__ import annotations


class AstroOodError(Exception):
    """Base of all errors raised for user data.

    Parameters
    ----------
    code : str
        Stable code without its prefix, such as ``"IN02"``.
    where : object
        File, HDU, data set or configuration key.
    problem : str
        What was found and what was expected.
    remedy : str
        What the user can do.
    """

    def __init__(self, code: str, where: object, problem: str, remedy: str = "") -> None:
        self.code = f"AOD-{code}"
        line = f"{self.code} {where}: {problem}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(line.split()))

    @classmethod
    def again(cls, line: str) -> AstroOodError:
        """The error whose line another process wrote."""
        error = cls.__new__(cls)
        Exception.__init__(error, line)
        error.code = line.split()[0]
        return error

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).again, (str(self),)


class InputError(AstroOodError, ValueError):
    """A map that cannot be read or used."""


class ConfigError(AstroOodError, ValueError):
    """A configuration that cannot be used."""


class ModelError(AstroOodError, ValueError):
    """A network that cannot be loaded or trusted."""


class StoreError(AstroOodError, OSError):
    """A store that is missing, incomplete, damaged or of another configuration."""


class RunError(AstroOodError, RuntimeError):
    """A computation that cannot give what was asked for."""
