"""Settings of one gateway, read once from gateway.toml and frozen.

Owns: every setting with its unit and default, and the messages for wrong ones. Refuses: reading the environment, and
deciding anything from a setting. `examples/gateway.toml` is the least that runs; `examples/gateway_full.toml` has
every setting with its default. Relative paths count from the folder of the file.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from certs.system_words import cause
from gateway.errors import ConfigError
from gateway.sections.inward import AccessSettings, InquirySettings, QualitySettings
from gateway.sections.lasting import DuplicatesSettings, NoticesSettings, OutboxSettings, RosterSettings, StoreSettings
from gateway.sections.outward import CacheSettings, FederationSettings
from gateway.sections.process import LogSettings, ObservabilitySettings, ServerSettings
from gateway.sections.trust import (
    AgencyTlsSettings,
    AuthoritySettings,
    DirectorySettings,
    EstSettings,
    KeysSettings,
    MessageSettings,
    RotationSettings,
    TlsSettings,
)
from gateway.sections.values import Address, Settings, member_code
from gateway.setting_words import told

MAX_CONFIG_BYTES = 1 << 20
S = TypeVar("S", bound=Settings)


class GatewaySettings(Settings):
    """All settings of one gateway."""

    member_id: Annotated[str, AfterValidator(member_code)] = Field(description="Unified social credit code (GB 32100).")
    state_dir: Path = Field(
        description="Folder for all that is kept, the key of the database among it; created with mode 0700."
    )
    server: ServerSettings
    tls: TlsSettings
    keys: KeysSettings = KeysSettings()
    rotation: RotationSettings = RotationSettings()
    messages: MessageSettings = MessageSettings()
    directory: DirectorySettings
    authority: AuthoritySettings | None = None
    est: EstSettings | None = None
    inquiry: InquirySettings = InquirySettings()
    quality: QualitySettings = QualitySettings()
    federation: FederationSettings = FederationSettings()
    cache: CacheSettings = CacheSettings()
    access: AccessSettings = AccessSettings()
    store: StoreSettings = StoreSettings()
    outbox: OutboxSettings = OutboxSettings()
    notices: NoticesSettings = NoticesSettings()
    roster: RosterSettings = RosterSettings()
    duplicates: DuplicatesSettings = DuplicatesSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    log: LogSettings = LogSettings()

    @property
    def keys_folder(self) -> Path:
        """Where own keys are kept."""
        return self.keys.folder or self.state_dir / "keys"


class AgencySettings(Settings):
    """What an agency's client needs to ask its own gateway: agency.toml."""

    gateway: Address = Field(description="Address of the gateway's agency side.")
    gateway_name: str = Field(description="DNS name in the gateway's TLS certificate.")
    tls: AgencyTlsSettings
    official: str = Field("", max_length=100, description="Who asks, where the command line does not say.")
    legal_basis: str = Field("", max_length=200, description="Law relied on, where the command line does not say.")
    timeout_s: float = Field(5.0, gt=0, le=600, description="Time for an answer, seconds.")


class AdapterSettings(Settings):
    """What `wugan adapter serve` needs to serve a department's manifest: adapter.toml."""

    listen: Address = Field(description="host:port on which the province's gateway calls.")
    tls: AgencyTlsSettings
    passphrase_file: Path | None = Field(None, description="File with the passphrase of the key, mode 0600.")
    caller: str = Field(
        "", max_length=512, description="URI name of the one gateway that may call; empty: own member's."
    )
    crl: tuple[Path, ...] = Field(
        (), max_length=16, description="The authority's revocation lists, one of each issuing CA; fetch them daily."
    )
    state_dir: Path | None = Field(None, description="Folder for what the adapter keeps; default: beside the manifest.")
    at_once: int = Field(32, ge=1, le=1_024, description="Lookups at once; one more is refused.")
    ready_file: Path | None = Field(None, description="Written when calls are taken, removed when they are not.")
    log: LogSettings = LogSettings()


def load_gateway(path: Path) -> GatewaySettings:
    """Read gateway.toml. Raises ConfigError as `load` does."""
    return load(path, GatewaySettings)


def load_agency(path: Path) -> AgencySettings:
    """Read agency.toml. Raises ConfigError as `load` does."""
    return load(path, AgencySettings)


def load(path: Path, model: type[S]) -> S:
    """Read a TOML file into settings.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or a setting is unknown, missing or out of range; `field`
            names the first one, the message all of them.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG_BYTES:
            raise ConfigError(
                f"{path}: {size} bytes is too large for a configuration file (at most {MAX_CONFIG_BYTES})",
                f"{path}：配置文件过大（{size} 字节，上限 {MAX_CONFIG_BYTES} 字节）",
            )
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({cause(error).en}); check the path and its permissions",
            f"{path}：无法读取（{cause(error).zh}），请检查路径与权限",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", f"{path}：不是有效的 TOML{_place(error)}") from error
    return _absolute(checked(raw, model, path), path.resolve().parent)


def checked(raw: dict[str, Any], model: type[S], path: Path) -> S:
    """Settings from what is, or is to be, in a file. Raises ConfigError as `load` does."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [
            (".".join(str(part) for part in one["loc"]), *told(one["type"], one["msg"], one.get("ctx", {})))
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError(
            f"{path}: {'; '.join(f'{where}: {en}' for where, en, _ in problems)}",
            f"{path}：配置有误：{'；'.join(f'{where}：{zh}' for where, _, zh in problems)}",
            field=problems[0][0],
        ) from error


def _place(error: tomllib.TOMLDecodeError | UnicodeDecodeError) -> str:
    """Where a file is wrong, in Chinese; the parser says it in English alone."""
    if isinstance(error, UnicodeDecodeError):
        return "：应为 UTF-8 编码"
    found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    return f"：第 {found[1]} 行第 {found[2]} 列有误" if found else "：文件末尾不完整"


def _absolute(section: S, base: Path) -> S:
    """The same settings with every path made absolute."""
    changed: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Settings):
            changed[name] = _absolute(value, base)
        elif isinstance(value, Path):
            changed[name] = base / value.expanduser()
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changed[name] = tuple(base / part.expanduser() for part in value)
    return section.model_copy(update=changed)
