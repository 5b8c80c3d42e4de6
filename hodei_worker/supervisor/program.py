"""Becomes, or starts, a job's program, and says why that is not possible. A launcher imports this,
and runs it with the rights of the job: it may import little (launcher.py)."""

import errno
import os

from hodei_worker.supervisor.messages import Request


class Failed(Exception):
    """The message tells the job's owner why its process could not be started."""


def enter_folder(folder: bytes) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
        why = "no such folder on this worker" if absent else error.strerror
        raise Failed(f"workdir {os.fsdecode(folder)}: {why}") from None


def execute(request: Request, run) -> int:  # type: ignore[no-untyped-def]
    """Searches and runs the program as execvp(3) does. Raises Failed."""
    name = os.fsdecode(request.argv[0])
    program = request.argv[0] if b"/" in request.argv[0] else find_program(request)
    try:
        try:
            return run(program, request.argv, request.environment)  # type: ignore[no-any-return]
        except OSError as error:
            if error.errno != errno.ENOEXEC or first_bytes(program).startswith(b"\x7fELF"):
                raise
            argv = [b"/bin/sh", program, *request.argv[1:]]
            return run(argv[0], argv, request.environment)  # type: ignore[no-any-return]
    except FileNotFoundError:
        why = why_not_found(program) if os.path.exists(program) else "no such file"  # noqa: PTH110
    except PermissionError:
        why = "not executable"
    except OSError as error:
        why = error.strerror or str(error)
    raise Failed(f"{name}: {why}")


def find_program(request: Request) -> bytes:
    argument = request.argv[0]
    for folder in request.path.split(b":"):
        candidate = (folder or b".") + b"/" + argument
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):  # noqa: PTH113
            return candidate
    where = os.fsdecode(request.path)
    raise Failed(f"{os.fsdecode(argument)}: command not found in PATH ({where})")


def first_bytes(program: bytes) -> bytes:
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            return file.read(256)
    except OSError:
        return b""


def why_not_found(program: bytes) -> str:
    """Says what is missing where the kernel does not find a file that exists."""
    first = first_bytes(program).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return "no such file, or its loader is missing"
    interpreter = os.fsdecode(first[2:].strip(b" \t").partition(b" ")[0])
    if interpreter.endswith("\r"):
        return f"bad interpreter {interpreter[:-1]!r}: its lines end as on Windows (CR LF)"
    return f"bad interpreter {interpreter!r}: no such file"
