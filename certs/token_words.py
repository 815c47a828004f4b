"""Why a hardware token was not opened, in words of either language, never in those of its library.

Owns: these words, and that the last try before a token locks itself is left to a person. Refuses: calling a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import TokenError

if TYPE_CHECKING:
    import pkcs11

CAUSES: Final = {
    "PinIncorrect": ("the PIN is wrong", "PIN 错误"),
    "PinLocked": ("the PIN is locked, its administrator unlocks it", "PIN 已锁定，须由设备管理员解锁"),
    "PinLenRange": ("the PIN is too short or too long", "PIN 长度不符"),
    "PinExpired": ("the PIN has expired", "PIN 已过期"),
    "NoSuchToken": ("there is no token of that label", "没有该标签的密码设备"),
    "MultipleTokensReturned": ("several tokens have that label", "有多个密码设备使用该标签"),
    "TokenNotPresent": ("it is not plugged in", "设备未接入"),
    "TokenNotRecognised": ("the module does not know it", "模块无法识别该设备"),
    "UserPinNotInitialized": ("no user PIN has been set", "尚未设置用户 PIN"),
    "RuntimeError": ("the module cannot be loaded", "模块无法加载"),
    "PKCS11Error": ("the module cannot be loaded", "模块无法加载"),
    "UnicodeDecodeError": ("the PIN is no text", "PIN 不是文本"),
    "TimeoutError": ("no answer in time", "未按时应答"),
}


def require_tries(flags: pkcs11.TokenFlag, label: str) -> None:
    """Return unless one more wrong PIN locks the token, or one did.

    Raises:
        TokenError: it does.
    """
    import pkcs11

    if flags & (pkcs11.TokenFlag.USER_PIN_FINAL_TRY | pkcs11.TokenFlag.USER_PIN_LOCKED):
        raise TokenError(
            f"token {label!r}: too many wrong PINs; it is locked, or the next wrong one locks it, so none was tried. "
            "Its administrator unlocks it, or logs in once with the right PIN by the vendor's own program",
            f"密码设备 {label!r} 的 PIN 错误次数过多，已锁定或再错一次即锁定，故未尝试登录；请设备管理员解锁，"
            "或使用厂商工具以正确 PIN 登录一次",
        )


def another_token(label: str) -> TokenError:
    """What is plugged in is not the token that was logged in to."""
    return TokenError(
        f"another token than {label!r} is plugged in; plug that in, or restart the gateway",
        f"接入的不是密码设备 {label!r}，请接入该设备，或重启网关",
    )


def why(error: Exception) -> tuple[str, str]:
    """Why a token was not opened, in both languages; without what the library says, which may quote the PIN."""
    name = type(error).__name__
    return CAUSES.get(name, (name, name))
