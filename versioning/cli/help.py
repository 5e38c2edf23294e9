"""What every ``--help`` ends with: examples that can be pasted, and what the exit codes mean."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])

EXITS: Final[Mapping[int, str]] = {0: "done", 1: "failed: unreachable, or lost on the way", 2: "bad use or settings"}
ROLE_EXITS: Final[Mapping[int, str]] = {
    0: "told to stop (SIGTERM, Ctrl-C, --for), and stopped cleanly",
    1: "failed, or ended by force after being told to stop",
    2: "bad use or settings, or a refusal that only a person can mend",
}


def explained(*examples: str, exits: Mapping[int, str] | None = None) -> Callable[[AnyCommand], AnyCommand]:
    """Give a command its examples, and what its exit codes mean where that is not the usual."""

    def explain(command: AnyCommand) -> AnyCommand:
        command.epilog = epilog(examples, {**EXITS, **(exits or {})})  # type: ignore[attr-defined]
        return command

    return explain


def epilog(examples: tuple[str, ...], exits: Mapping[int, str]) -> str:
    """``\\b`` keeps the lines of a paragraph as they are."""
    codes = [f"{code} {meaning}" for code, meaning in exits.items()]
    paragraphs = [
        *([["Examples:", *(f"  {example}" for example in examples)]] if examples else []),
        ["Exit codes:", *(f"  {code}" for code in codes)],
    ]
    return "\n\n".join("\b\n" + "\n".join(lines) for lines in paragraphs)


def epilog_of(command: Callable[..., Any]) -> str:
    found: str = getattr(command, "epilog", "") or epilog((), EXITS)
    return found
