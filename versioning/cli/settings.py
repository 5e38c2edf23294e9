"""Settings: one TOML file, environment over it, flags over both; built once in a command, then frozen.

Every installed package brings its sections (entry points ``stampline.settings``). A command reads its own, but the
whole file is validated each time: a typing error in a section shows at once, not when the role it belongs to restarts.
"""

import itertools
import os
import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, create_model, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from versioning.cli import points
from versioning.cli.environment import ENV_CONFIG, ENV_PREFIX, NESTED, check_environment, no_json, variable_of
from versioning.cli.files import check_files, parts_of
from versioning.errors import ConfigError

SETTINGS_GROUP: Final = "stampline.settings"


class Section(BaseModel):
    """One ``[section]`` (or ``[[section]]``) of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    section: ClassVar[str]

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: object, info: ValidationInfo) -> object:
        """``true`` would be 1."""
        kinds = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and int in {kinds, *get_args(kinds)}:
            raise ValueError("true and false are no numbers")
        return value

    def check_section(self, place: str) -> None:
        """Look at what a role looks at when it starts, without any server; raises ConfigError about ``place``."""
        check_files(self, place)

    @classmethod
    def check_together(cls, settings: "Settings") -> None:
        """The same, at what no single section shows by itself."""


AnySection = TypeVar("AnySection", bound=Section)


class Settings:
    """All sections of one start, validated. Ask for a role's own by its type."""

    def __init__(self, values: BaseModel, file: Path | None) -> None:
        self.values = values
        self.file = file

    @classmethod
    def load(cls, file: Path | None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Self:
        """Read ``file`` (None: ``STAMPLINE_CONFIG``, or no file at all); raises ConfigError, in one line.

        ``flags`` maps section to field to value; None stands for a flag that was not given.
        """
        named = os.environ.get(ENV_CONFIG)
        file = file or (Path(named) if named else None)
        written = _read(file)
        sections = _known_sections()
        check_environment(os.environ, sections)
        given = {name: _given(fields) for name, fields in (flags or {}).items()}
        try:
            flagged: dict[str, Any] = {name: fields for name, fields in given.items() if fields}
            values = _model(sections, written)(**flagged)
        except ValidationError as error:
            raise ConfigError(f"{_place_of(error, file)}: {_first_problem(error)}", hint=_hint(error)) from None
        except SettingsError as error:
            raise no_json(os.environ, error.__cause__) from None
        return cls(values, file)

    def one(self, kind: type[AnySection]) -> AnySection:
        """Return the section of this type; its defaults where it is absent and needs none of its keys."""
        found = getattr(self.values, kind.section, None)
        if isinstance(found, kind):
            return found
        try:
            return kind()
        except ValidationError as error:
            missing = ".".join(str(part) for part in error.errors()[0]["loc"])
            name = variable_of(kind.section, *missing.split("."))
            raise ConfigError(
                f"{_place(self.file)}: section [{kind.section}] lacks {missing}", hint=f"add it, or set {name}"
            ) from None

    def many(self, kind: type[AnySection]) -> tuple[AnySection, ...]:
        """Return all ``[[section]]`` tables of this type."""
        found = getattr(self.values, kind.section, None) or ()
        return tuple(item for item in found if isinstance(item, kind))

    def has(self, kind: type[Section]) -> bool:
        """Whether there is a section of this type."""
        return getattr(self.values, kind.section, None) is not None

    def check(self) -> None:
        """Look at what the roles look at when they start, without any server; raises ConfigError."""
        for place, part in parts_of(self.values):
            if isinstance(part, Section):
                part.check_section(place)
        for kind in _known_sections().values():
            section = get_args(kind)[0] if get_origin(kind) is list else kind
            section.check_together(self)


def _known_sections() -> dict[str, Any]:
    """Map section name to its type: a Section, or ``list[Section]``."""
    # Two packages never share a section: the last one would win without a word.
    sections: dict[str, Any] = {}
    for point in entry_points(group=SETTINGS_GROUP):
        for kind in points.load(point):
            name = kind.__args__[0].section if get_origin(kind) is list else kind.section
            sections[name] = kind
    return sections


def _model(sections: Mapping[str, Any], written: dict[str, Any]) -> type[BaseSettings]:
    class Root(BaseSettings):
        model_config = SettingsConfigDict(
            extra="forbid",
            frozen=True,
            hide_input_in_errors=True,
            env_prefix=ENV_PREFIX,
            env_nested_delimiter=NESTED,
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, _AsWritten(settings_cls, written)

    fields: dict[str, Any] = {name: (kind | None, None) for name, kind in sections.items()}
    return create_model("Root", __base__=Root, **fields)


class _AsWritten(InitSettingsSource):
    """Names as the file spells them: its base takes ``[Table]`` for ``table``, and of the two keeps one."""

    def __init__(self, settings_cls: type[BaseSettings], written: dict[str, Any]) -> None:
        super().__init__(settings_cls, {})
        self.init_kwargs = written


def _read(file: Path | None) -> dict[str, Any]:
    """Once: it may be a pipe from what decrypts it, which a second look would find empty, and every setting unset."""
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        if text.startswith("\N{BOM}"):
            raise ConfigError(f"{file} begins with a byte order mark", hint="save it as UTF-8 without one")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", hint="name it with --config FILE") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not TOML: {error}", hint="see deploy/stampline.example.toml") from None


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _place(file: Path | None) -> str:
    return str(file) if file else "settings (no file)"


def _place_of(error: ValidationError, file: Path | None) -> str:
    """The variable that says it, or else the file. A list is one variable, whatever is wrong in it."""
    keys = itertools.takewhile(lambda part: isinstance(part, str), error.errors()[0]["loc"])
    wanted = variable_of(*map(str, keys))
    found = next((name for name in os.environ if name.upper() == wanted), None)
    return f"environment: {found}" if found else _place(file)


def _first_problem(error: ValidationError) -> str:
    """Name the key the way the file spells it: ``source.mysql.port``."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        kind = "section" if len(first["loc"]) == 1 else "key"
        return f"unknown {kind} {where}"
    if first["type"] == "missing":
        return f"key {where} is missing"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def _hint(error: ValidationError) -> str:
    more = error.error_count() - 1
    return f"compare with deploy/stampline.example.toml{f'; {more} more problems follow' if more else ''}"
