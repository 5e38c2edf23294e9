"""The console script. Only this file may run where the command line's packages are missing: it says so in one line."""

import importlib
import sys

PACKAGES = frozenset({"typer", "pydantic", "pydantic_core", "pydantic_settings", "structlog"})


def main() -> None:
    try:
        program = importlib.import_module("versioning.cli.program")
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        sys.stderr.write(
            f"stampline: the command line needs {error.name}, which a library install leaves out; "
            "fix: in a checkout, pip install '.[all]'\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(program.run(sys.argv[1:]))
