"""The sandbox: parsers run in children, and a child that breaks a limit is killed, told of and replaced."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.sandbox import Sandbox, SandboxError

TASKS = "tests.newsletter.sandbox_tasks"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with limits that tests can wait for."""
    with Sandbox(workers=2, cpu_seconds=1, wall_seconds=2.5, memory_bytes=400_000_000) as made:
        yield made


def failure(sandbox: Sandbox, task: str, *arguments: object) -> SandboxError:
    """The error of a task; its text is one line that names the function."""
    with pytest.raises(SandboxError) as caught:
        sandbox.call(f"{TASKS}:{task}", *arguments)
    assert str(caught.value).isprintable() and task in str(caught.value)
    return caught.value


def is_gone(process: int) -> bool:
    """Whether a process ends within five seconds. An orphan that nobody reaps has ended as well."""
    end = time.monotonic() + 5
    status = Path(f"/proc/{process}/stat")
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
            if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_a_function_gets_its_arguments_and_its_value_comes_back(sandbox: Sandbox) -> None:
    value = sandbox.call(f"{TASKS}:describe", b"\x00\xff" * 2_000_000, 3, b"x", name="ü", page=b"yz", none=None)
    assert value == {
        "length": 4_000_000,
        "others": [3, "x"],
        "named": {"name": "ü", "page": "yz", "none": None},
    }


@settings(max_examples=30, deadline=None)
@given(st.binary(), st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_whatever_json_can_carry_arrives(sandbox: Sandbox, body: bytes, text: str, value: object) -> None:
    found = sandbox.call(f"{TASKS}:describe", body, text, named=value)
    expected = {"length": len(body), "others": [text], "named": {"named": value}}
    assert found == json.loads(json.dumps(expected).encode("utf-8", "replace"))


def test_a_child_is_kept_for_the_next_call() -> None:
    with Sandbox(workers=1) as sandbox:
        assert sandbox.call(f"{TASKS}:process") == sandbox.call(f"{TASKS}:process") != os.getpid()


def test_a_child_is_kept_however_much_its_parent_holds() -> None:
    held = b"x" * 450_000_000
    with Sandbox(workers=1) as sandbox:
        assert sandbox.call(f"{TASKS}:process") == sandbox.call(f"{TASKS}:process")
    assert len(held) == 450_000_000


@pytest.mark.slow
def test_too_much_processor_time_is_an_error_of_that_name(sandbox: Sandbox) -> None:
    began = time.monotonic()
    error = failure(sandbox, "spin")
    assert error.reason == "time" and time.monotonic() - began < 4


def test_processor_time_is_counted_for_each_call_alone() -> None:
    with Sandbox(workers=1, cpu_seconds=1) as sandbox:
        processes = {sandbox.call(f"{TASKS}:eat_some", 200) for _ in range(12)}
        assert len(processes) == 1


def test_too_much_time_without_work_is_an_error_of_that_name() -> None:
    with Sandbox(workers=1, wall_seconds=0.3) as sandbox:
        began = time.monotonic()
        error = failure(sandbox, "pause", 60)
        assert error.reason == "time" and "0.3 seconds" in str(error) and time.monotonic() - began < 3


def test_too_much_memory_is_an_error_of_that_name(sandbox: Sandbox) -> None:
    error = failure(sandbox, "eat")
    assert error.reason == "memory" and "400,000,000 bytes" in str(error)


def test_a_child_that_has_held_much_memory_retires_after_its_answer() -> None:
    with Sandbox(workers=1, memory_bytes=400_000_000) as sandbox:
        first = sandbox.call(f"{TASKS}:eat_some", 250)
        assert sandbox.call(f"{TASKS}:process") != first
        assert is_gone(first)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_a_crash_is_an_error_that_names_the_signal(sandbox: Sandbox, number: signal.Signals) -> None:
    error = failure(sandbox, "die", int(number))
    assert error.reason == "crash" and number.name in str(error)


def test_a_child_that_the_system_kills_may_have_been_too_large(sandbox: Sandbox) -> None:
    assert failure(sandbox, "die", int(signal.SIGKILL)).reason == "memory"


@pytest.mark.parametrize("task", ["leave", "recurse", "answer_nonsense", "answer_much", "no_such_function"])
def test_whatever_else_goes_wrong_is_a_crash(task: str) -> None:
    with Sandbox(workers=1) as sandbox:
        assert failure(sandbox, task).reason == "crash"
        assert sandbox.call(f"{TASKS}:describe", b"x")["length"] == 1


def test_an_exception_is_told_by_kind_and_place_but_not_by_its_text(sandbox: Sandbox) -> None:
    error = failure(sandbox, "fail", "a stranger's \x1b[31m words")
    assert error.reason == "crash" and "ValueError at newsletter/sandbox_tasks.py:" in str(error)
    assert "stranger" not in str(error)


def test_a_module_that_does_not_exist_is_a_crash(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="ModuleNotFoundError"):
        sandbox.call("newsletter.nowhere:parse", b"")


def test_after_every_failure_the_next_call_works(sandbox: Sandbox) -> None:
    for task in ("die", "eat"):
        with pytest.raises(SandboxError):
            sandbox.call(f"{TASKS}:{task}", *([int(signal.SIGSEGV)] if task == "die" else []))
        assert sandbox.call(f"{TASKS}:describe", b"x")["length"] == 1


def test_lone_surrogates_do_not_come_out(sandbox: Sandbox) -> None:
    assert sandbox.call(f"{TASKS}:answer_surrogates") == "a?b"


def test_an_argument_that_json_cannot_carry_is_the_callers_error(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError):
        sandbox.call(f"{TASKS}:describe", b"", object())
    assert sandbox.call(f"{TASKS}:describe", b"x")["length"] == 1


def test_a_child_inherits_no_secret_no_file_and_no_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    with (tmp_path / "open").open("wb") as file, Sandbox(workers=1) as sandbox:
        os.set_inheritable(file.fileno(), True)
        found = sandbox.call(f"{TASKS}:surroundings")
    assert "secret" not in str(found["environment"]) and "HOME" not in found["environment"]
    assert len(found["files"]) == 1  # its pipe
    assert found["input"] == "" and found["interrupt"] and found["group"] != os.getpgid(0)


def test_a_child_cannot_reach_the_network_or_start_programs(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        assert "PermissionError" in str(failure(sandbox, "call_out", server.getsockname()[1]))
        with pytest.raises(TimeoutError):
            server.accept()
    assert "PermissionError" in str(failure(sandbox, "ask_for_a_name"))
    assert "PermissionError" in str(failure(sandbox, "start_a_program"))


def test_what_a_child_prints_goes_nowhere(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert sandbox.call(f"{TASKS}:write_to_the_terminal") == "quiet"
    assert capfd.readouterr() == ("", "")


def test_many_threads_share_the_workers() -> None:
    with Sandbox(workers=2) as sandbox, ThreadPoolExecutor(6) as pool:
        processes = list(pool.map(lambda _: sandbox.call(f"{TASKS}:pause", 0.05), range(12)))
    assert 1 <= len(set(processes)) <= 2


@pytest.mark.slow
def test_a_slow_call_does_not_delay_its_neighbour() -> None:
    with Sandbox(workers=2, wall_seconds=2) as sandbox, ThreadPoolExecutor(1) as pool:
        sandbox.call(f"{TASKS}:process")
        slow = pool.submit(failure, sandbox, "pause", 60)
        time.sleep(0.2)
        began = time.monotonic()
        sandbox.call(f"{TASKS}:process")
        assert time.monotonic() - began < 1.5
        assert slow.result().reason == "time"


def test_closing_ends_the_children_even_at_work() -> None:
    sandbox = Sandbox(workers=2)
    idle = sandbox.call(f"{TASKS}:process")
    errors: list[SandboxError] = []
    thread = threading.Thread(target=lambda: errors.append(failure(sandbox, "pause", 60)))
    thread.start()
    time.sleep(0.3)
    sandbox.close()
    sandbox.close()
    thread.join(5)
    assert is_gone(idle) and len(errors) == 1 and "closed" in str(errors[0])
    assert "closed" in str(failure(sandbox, "process"))


def test_a_forgotten_sandbox_ends_its_children() -> None:
    sandbox = Sandbox(workers=1)
    child = sandbox.call(f"{TASKS}:process")
    del sandbox
    gc.collect()
    assert is_gone(child)


def run(code: str, *arguments: str, folder: Path, path: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    """A Python of its own, started in another folder, with our modules on its path."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CALL = f"from newsletter.sandbox import Sandbox; pid = Sandbox().call('{TASKS}:process')\n"


def test_children_of_a_parent_that_dies_end_too(tmp_path: Path) -> None:
    done = run(
        CALL.replace("Sandbox()", "(s := Sandbox())") + "print(pid, flush=True); import os; os._exit(0)",
        folder=tmp_path,
    )
    assert is_gone(int(done.stdout))


def test_children_end_with_a_parent_that_forgets_to_close(tmp_path: Path) -> None:
    done = run(CALL.replace("Sandbox()", "(s := Sandbox())") + "print(pid)", folder=tmp_path)
    assert done.stderr == "" and is_gone(int(done.stdout))


def test_an_uninstalled_checkout_works_from_another_folder_by_a_relative_path(tmp_path: Path) -> None:
    code = f"import os, sys; sys.path.insert(0, os.path.relpath({str(CHECKOUT)!r})); {CALL}print(pid)"
    done = run(code, folder=tmp_path, path=tmp_path)
    assert done.returncode == 0 and int(done.stdout) > 1, done.stderr


def test_a_parent_without_standard_streams_works(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"import os; [os.close(n) for n in (0, 1, 2)]\n{CALL}open({str(told)!r}, 'w').write(str(pid))"
    run(code, folder=tmp_path)
    assert int(told.read_text()) > 1
