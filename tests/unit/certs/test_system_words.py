"""What the system refuses is told in words of both languages; no message mixes them."""

from __future__ import annotations

import ast
import errno
import os
import re
import socket
import sqlite3
import ssl
from pathlib import Path

import pytest
from aiohttp import ClientConnectorDNSError, ClientConnectorError, ServerDisconnectedError
from aiohttp.client_reqrep import ConnectionKey

from certs import system_words
from certs.system_words import cause, cut_off

CHINESE = re.compile(r"[\u4e00-\u9fff]")
ROOT = Path(__file__).resolve().parents[3]


def failing(path: Path) -> OSError:
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    return caught.value


def test_what_the_system_says_of_files(tmp_path: Path) -> None:
    assert cause(failing(tmp_path / "none")) == ("No such file or directory", "文件或目录不存在")
    assert cause(failing(tmp_path)) == ("Is a directory", "是目录，不是文件")
    (tmp_path / "file").touch()
    assert cause(failing(tmp_path / "file" / "below")) == ("Not a directory", "不是目录")
    assert cause(failing(tmp_path / ("x" * 300))) == ("File name too long", "名称过长")


def test_what_the_system_says_of_sockets() -> None:
    with socket.socket() as taken, socket.socket() as second:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:
            second.bind(taken.getsockname())
        assert cause(caught.value) == ("Address already in use", "地址已被占用")
        with pytest.raises(OSError) as caught:
            second.connect(taken.getsockname())
        assert cause(caught.value) == ("Connection refused", "连接被拒绝")


def test_every_known_number_is_told_in_chinese_and_in_the_words_of_the_system() -> None:
    for number in errno.errorcode:
        told = cause(OSError(number, os.strerror(number)))
        assert told.en == os.strerror(number)
        assert CHINESE.search(told.zh)
        assert not re.search(r"[A-Za-z]", told.zh)
    assert cause(OSError(4711, "?")).zh == "系统错误 4711"


def test_numbers_of_tls_and_of_name_lookup_are_not_taken_for_those_of_files() -> None:
    assert cause(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")).zh == "TLS 连接出错"
    assert cause(ssl.SSLCertVerificationError(1, "certificate verify failed")).zh == "证书校验未通过"
    assert cause(socket.gaierror(socket.EAI_NONAME, "Name or service not known")).zh == "域名无法解析"


def test_what_has_no_number_is_told_too() -> None:
    assert cause(TimeoutError()) == ("timed out", "超时")
    assert cause(OSError()) == ("system error", "系统出错")


def test_what_sqlite_says(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be looked at " * 20, "utf-8")
    for path, zh in ((tmp_path / "text", "不是数据库文件"), (tmp_path / "none" / "db", "数据库文件无法打开")):
        with pytest.raises(sqlite3.Error) as caught:
            sqlite3.connect(path).execute("SELECT * FROM sqlite_schema")
        assert cause(caught.value) == (str(caught.value), zh)
    assert cause(sqlite3.Error("of the module itself")).zh == "数据库出错"


def test_a_call_that_is_cut_off_is_told_by_what_the_system_said_inside() -> None:
    key = ConnectionKey("nowhere.invalid", 443, True, True, None, None, None)
    unknown = ClientConnectorDNSError(key, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert cut_off(unknown) == ("ClientConnectorDNSError", "域名无法解析")
    refused = ClientConnectorError(key, OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.7', 80)"))
    assert cut_off(refused) == ("connection refused", "连接被拒绝")
    assert cut_off(ServerDisconnectedError()) == ("ServerDisconnectedError", "应答中断或不完整")
    assert cut_off(ConnectionResetError(errno.ECONNRESET, "reset")).zh == "连接被对方重置"


def test_no_chinese_text_of_ours_has_the_text_of_a_foreign_error_inside() -> None:
    """A text may hold `cause(error).zh` or `error.zh`, or a class as a code, but not the error or its `strerror`."""
    wrong = []
    for package in ("adapters", "certs", "gateway"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            # Parsing all there is takes seconds.
            if not re.search(r"\{(str\()?error[).}]", text):
                continue
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.JoinedStr) or not CHINESE.search(ast.unparse(node)):
                    continue
                for part in node.values:
                    if isinstance(part, ast.FormattedValue) and re.fullmatch(
                        r"(str\()?error(\.strerror.*)?\)?", ast.unparse(part.value)
                    ):
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(part.value)}")
    assert not wrong, f"use {system_words.__name__}.cause: {wrong}"
