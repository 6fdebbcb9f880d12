"""A filter of system calls: no network, no programs, no processes, whatever the code does.

Linux on x86-64 and AArch64 has it (seccomp, which needs no rights); elsewhere there is none and the
audit hook of `sandbox_child` stands alone. Like that script this imports the standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Mapping

_NAMES = (
    *("socket", "socketpair", "connect", "accept", "accept4", "bind", "listen"),
    *("sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"),
    *("execve", "execveat", "fork", "vfork", "ptrace", "kill", "tkill"),
    *("pidfd_open", "pidfd_send_signal", "process_vm_readv", "process_vm_writev"),
    *("unshare", "setns", "mount", "umount2", "chroot", "pivot_root"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key"),
)
_X86 = (
    *(41, 53, 42, 43, 288, 49, 50),
    *(44, 46, 307, 45, 47, 299),
    *(59, 322, 57, 58, 101, 62, 200),
    *(434, 424, 310, 311),
    *(272, 308, 165, 166, 161, 155),
    *(321, 298, 323, 425, 250, 248),
)
_ARM = (
    *(198, 199, 203, 202, 242, 200, 201),
    *(206, 211, 269, 207, 212, 243),
    *(221, 281, None, None, 117, 129, 130),
    *(434, 424, 270, 271),
    *(97, 268, 40, 39, 51, 41),
    *(280, 241, 282, 425, 219, 217),
)
REFUSED: Mapping[str, Mapping[str, int | None]] = {
    "x86_64": dict(zip(_NAMES, _X86, strict=True)),
    "aarch64": dict(zip(_NAMES, _ARM, strict=True)),
}
"""Numbers of the calls that are refused, by machine; None where it has no such call."""

_MACHINES = {"x86_64": (0xC000003E, 56), "aarch64": (0xC00000B7, 220)}
"""What the kernel calls the machine, and the number of `clone`."""

_CLONE3 = 435
_THREAD = 0x00010000
_OTHER_ABI = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NO_NEW_RIGHTS, _SECCOMP, _FILTER = 38, 22, 2


def close() -> bool:
    """Refuse these calls from now on, for good; False where this system has no such filter."""
    if not sys.platform.startswith("linux"):
        return False
    machine = os.uname().machine
    if machine not in _MACHINES:
        return False
    program = rules(machine)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.c_void_p))

    held = ctypes.create_string_buffer(program, len(program))
    given = Program(len(program) // 8, ctypes.addressof(held))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return not prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0) and not prctl(
        _SECCOMP, _FILTER, ctypes.byref(given), 0, 0
    )


def rules(machine: str) -> bytes:
    """The filter in the kernel's form: each call refused is one comparison and one answer."""
    name, clone = _MACHINES[machine]
    denied = _answer(_ERROR | errno.EPERM)
    parts = [
        _rule(_LOAD, _MACHINE),
        _rule(_EQUAL, name, yes=1),
        _answer(_KILL),
        _rule(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        parts += [_rule(_AT_LEAST, _OTHER_ABI, no=1), _answer(_KILL)]
    for number in REFUSED[machine].values():
        if number is not None:
            parts += [_rule(_EQUAL, number, no=1), denied]
    # Threads are made by clone3, or by clone where that is said not to exist.
    parts += [_rule(_EQUAL, _CLONE3, no=1), _answer(_ERROR | errno.ENOSYS)]
    parts += [_rule(_EQUAL, clone, no=3), _rule(_LOAD, _FIRST_ARGUMENT)]
    parts += [_rule(_ANY_BIT, _THREAD, yes=1), denied, _answer(_ALLOW)]
    return b"".join(parts)


def _answer(value: int) -> bytes:
    return _rule(_RETURN, value)


def _rule(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many of the next are skipped."""
    return struct.pack("=HBBI", code, yes, no, value)


def forget() -> None:
    """Take `ctypes` out of the modules, so that code must load it, which the audit hook refuses."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ctypes", "_ctypes")]:
        del sys.modules[name]
