"""Why the system refused, in words of both languages: for messages into which the text of a foreign error goes.

Owns: Chinese for the usual errors of files, sockets, name lookup, TLS and SQLite; the English is the system's own text,
by which an administrator finds help. It is here because everybody may import this package. Refuses: what was tried and
what to do about it, which the caller knows; errors of ours, which have both texts.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import sqlite3

_ZH: Final = {
    errno.EPERM: "操作不被允许",
    errno.ENOENT: "文件或目录不存在",
    errno.EIO: "存储设备读写出错",
    errno.ENXIO: "设备不存在",
    errno.E2BIG: "参数过长",
    errno.ENOEXEC: "不是可执行程序",
    errno.EBADF: "文件未打开",
    errno.EAGAIN: "资源暂时不可用，可能正被占用",
    errno.ENOMEM: "内存不足",
    errno.EACCES: "权限不足",
    errno.EBUSY: "正在被占用",
    errno.EEXIST: "文件已存在",
    errno.EXDEV: "不在同一文件系统",
    errno.ENODEV: "没有此设备",
    errno.ENOTDIR: "不是目录",
    errno.EISDIR: "是目录，不是文件",
    errno.EINVAL: "参数无效",
    errno.ENFILE: "系统打开的文件过多",
    errno.EMFILE: "本程序打开的文件过多",
    errno.ETXTBSY: "程序文件正在使用",
    errno.EFBIG: "文件过大",
    errno.ENOSPC: "磁盘空间不足",
    errno.EROFS: "文件系统只读",
    errno.EPIPE: "连接已断开",
    errno.ENAMETOOLONG: "名称过长",
    errno.ENOLCK: "无法加锁",
    errno.ENOSYS: "系统不支持此操作",
    errno.ENOTEMPTY: "目录非空",
    errno.ELOOP: "符号链接层数过多",
    errno.EPROTO: "协议出错",
    errno.EAFNOSUPPORT: "不支持此类地址",
    errno.EOPNOTSUPP: "不支持此操作",
    errno.EADDRINUSE: "地址已被占用",
    errno.EADDRNOTAVAIL: "本机没有此地址",
    errno.ENETDOWN: "网络已断开",
    errno.ENETUNREACH: "网络不可达",
    errno.ECONNABORTED: "连接被中止",
    errno.ECONNRESET: "连接被对方重置",
    errno.ENOBUFS: "系统缓冲区不足",
    errno.ENOTCONN: "尚未连接",
    errno.ETIMEDOUT: "连接超时",
    errno.ECONNREFUSED: "连接被拒绝",
    errno.EHOSTDOWN: "对方主机已关闭",
    errno.EHOSTUNREACH: "对方主机不可达",
    errno.EDQUOT: "超出磁盘配额",
    errno.ESTALE: "网络文件已失效",
}
_SQLITE_ZH: Final = {
    "SQLITE_PERM": "权限不足",
    "SQLITE_BUSY": "数据库正被其他程序占用",
    "SQLITE_LOCKED": "数据库已被锁定",
    "SQLITE_READONLY": "数据库只读",
    "SQLITE_IOERR": "数据库读写出错",
    "SQLITE_CORRUPT": "数据库文件已损坏",
    "SQLITE_FULL": "磁盘空间不足",
    "SQLITE_CANTOPEN": "数据库文件无法打开",
    "SQLITE_NOTADB": "不是数据库文件",
}


class Cause(NamedTuple):
    """Why something failed, without a full stop, to stand in brackets."""

    en: str
    zh: str


def cause(error: OSError | sqlite3.Error) -> Cause:
    """Why the system refused: its own text in English, ours in Chinese."""
    if not isinstance(error, OSError):
        # The extended names begin with the primary one: SQLITE_IOERR_WRITE.
        primary = "_".join(str(getattr(error, "sqlite_errorname", "")).split("_")[:2])
        return Cause(str(error), _SQLITE_ZH.get(primary, "数据库出错"))
    return Cause(error.strerror or _in_english(error), _in_chinese(error))


def cut_off(error: Exception) -> Cause:
    """Why a call over the network came to nothing; not in the error's own text, which may quote an answer."""
    # aiohttp keeps the system's own error inside.
    inner = getattr(error, "os_error", error)
    if not isinstance(inner, OSError):
        return Cause(type(error).__name__, "应答中断或不完整")
    return Cause(_named(inner) or type(error).__name__, _in_chinese(inner))


def _named(error: OSError) -> str:
    """What the system calls it; "" of errors that count in numbers of their own, and of those without."""
    import socket
    import ssl

    if error.errno not in _ZH or isinstance(error, (ssl.SSLError, socket.gaierror)):
        return ""
    return os.strerror(error.errno).lower()


def _in_english(error: OSError) -> str:
    return "timed out" if isinstance(error, TimeoutError) else "system error"


def _in_chinese(error: OSError) -> str:
    import socket
    import ssl

    # These two count in numbers of their own.
    if isinstance(error, ssl.SSLError):
        return "证书校验未通过" if isinstance(error, ssl.SSLCertVerificationError) else "TLS 连接出错"
    if isinstance(error, socket.gaierror):
        return "域名无法解析"
    if error.errno is None:
        return "超时" if isinstance(error, TimeoutError) else "系统出错"
    return _ZH.get(error.errno, f"系统错误 {error.errno}")
