"""Threads, forks, signals: results do not depend on them, and no call hangs. What could hang runs in a process of its
own, with a time limit."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tersor
from conftest import THREAD_COUNTS, needs_forks, needs_plain_build
from layouts import assert_same_bits, bits
from operations import OPERATIONS, case_name, cases
from tersor import _core

try:
    import torch
except ImportError:
    torch = None


def run(code: str, seconds: float = 60, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """The code in a new process, where `w` is an array that takes several chunks and `expected` its softmax."""
    start = """
        import os, signal, sys, threading, time
        import numpy as np
        import tersor
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and hand that on
        scrambled = np.arange(300_000, dtype=np.uint32) * np.uint32(2654435761) >> np.uint32(8)
        w = scrambled.astype(np.float32).reshape(300, 1000) / 2**22
    """
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    script = textwrap.dedent(start) + textwrap.dedent(code)
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=variables, check=False)


def assert_succeeds(code: str, seconds: float = 60, **environment: str | None) -> str:
    result = run(code, seconds, **environment)
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


# --- how many --------------------------------------------------------------------------------------------------------


class TestThreadCount:
    def test_set_and_get(self) -> None:
        for count in (1, 2, 7, 64):
            tersor.set_num_threads(count)
            assert tersor.get_num_threads() == count

    @pytest.mark.parametrize(
        "own, shared, wanted",
        [
            ("3", None, 3),
            ("1", None, 1),
            ("9", "1", 9),
            (None, "1", 1),
            (None, "1,4", 1),
            ("0", "1", 1),
            ("many", "1", 1),
            ("", "1", 1),
        ],
    )
    def test_variables(self, own: str | None, shared: str | None, wanted: int) -> None:
        """TERSOR_NUM_THREADS is an order, OMP_NUM_THREADS a hint that only lowers; what is no number is passed over."""
        code = "print(tersor.get_num_threads())"
        assert assert_succeeds(code, TERSOR_NUM_THREADS=own, OMP_NUM_THREADS=shared) == str(wanted)

    def test_default_follows_the_affinity(self) -> None:
        code = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(tersor.get_num_threads())"
        assert assert_succeeds(code, TERSOR_NUM_THREADS=None, OMP_NUM_THREADS=None) == "1"

    def test_a_large_hint_does_not_raise_it(self) -> None:
        cores = len(os.sched_getaffinity(0))
        assert (
            int(assert_succeeds("print(tersor.get_num_threads())", TERSOR_NUM_THREADS=None, OMP_NUM_THREADS="500")) <= cores
        )

    def test_threadpoolctl(self) -> None:
        threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
        tersor.register_threadpoolctl()
        tersor.register_threadpoolctl()  # once or twice is the same
        tersor.set_num_threads(5)
        with threadpoolctl.threadpool_limits(limits=2, user_api="tersor"):
            assert tersor.get_num_threads() == 2
        assert tersor.get_num_threads() == 5
        found = [entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "tersor"]
        assert len(found) == 1 and found[0]["num_threads"] == 5 and found[0]["version"] == tersor.__version__

    def test_no_thread_before_a_large_call(self) -> None:
        code = """
            before = len(os.listdir('/proc/self/task'))
            tersor.set_num_threads(4)
            tersor.softmax(w[:2])
            print(len(os.listdir('/proc/self/task')) - before)
            tersor.softmax(w)
            print(len(os.listdir('/proc/self/task')) - before)
        """
        assert assert_succeeds(code).split() == ["0", "3"]


# --- several Python threads ------------------------------------------------------------------------------------------


class TestPythonThreads:
    @needs_plain_build
    def test_gil_is_released(self) -> None:
        """While one thread is inside a call, another goes on: it wakes up every millisecond, and is counted."""
        tersor.set_num_threads(1)
        _core.set_cpu_level(_core.cpu_levels()[0])
        row = np.ones((1, 1 << 20), np.float32)
        x = np.broadcast_to(row, (1 << 17, 1 << 20))  # many rows, the memory of one
        counted: list[float] = []

        def count() -> None:
            start = time.perf_counter()
            tersor.count_nonzero(x[: 1 << 11])
            counted.append(time.perf_counter() - start)

        worker = threading.Thread(target=count)
        worker.start()
        ticks = 0
        while worker.is_alive():
            time.sleep(0.001)
            ticks += 1
        assert counted[0] > 0.02, "the call was too short to tell"
        assert ticks > counted[0] / 0.001 / 20, f"{ticks} ticks in {counted[0]:.3f} s"

    @pytest.mark.parametrize("count", THREAD_COUNTS)
    def test_eight_threads_get_the_same_results(self, count: int) -> None:
        tersor.set_num_threads(count)
        work = []
        for operation, dtype in cases():
            if dtype in (np.dtype(np.float32), np.dtype(np.uint8)):
                arrays = operation.make((130, 701), dtype)
                work.append((operation, arrays, dtype, operation.expected(arrays, (130, 701), dtype)))

        def repeat(seed: int) -> None:
            for turn in range(20):
                operation, arrays, dtype, expected = work[(seed * 5 + turn) % len(work)]
                for result, wanted in zip(operation.run(arrays, (130, 701), dtype), expected, strict=True):
                    assert_same_bits(result, wanted, f"{operation}, thread {seed}, turn {turn}")

        with ThreadPoolExecutor(8) as executor:
            for future in [executor.submit(repeat, seed) for seed in range(8)]:
                future.result(timeout=60)

    def test_settings_may_change_during_calls(self) -> None:
        """Another thread switches levels and thread counts all the while; calls neither fail nor give other bits."""
        x = np.linspace(-5, 5, 200_000, dtype=np.float32).reshape(200, 1000)
        expected = tersor.softmax(x)
        stop = threading.Event()

        def switch() -> None:
            turn = 0
            while not stop.is_set():
                _core.set_cpu_level(_core.cpu_levels()[turn % len(_core.cpu_levels())])
                tersor.set_num_threads(turn % 5 + 1)
                turn += 1

        switcher = threading.Thread(target=switch)
        switcher.start()
        try:
            for _ in range(200):
                assert_same_bits(tersor.softmax(x), expected)
        finally:
            stop.set()
            switcher.join()

    @needs_plain_build
    def test_threads_that_end_leave_no_memory_behind(self) -> None:
        """Scratch is kept for each thread, 1 MiB of it: 300 threads that have ended may not hold 300 MiB."""
        code = """
            def rss():
                return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20
            out = np.empty_like(w)
            def call():
                tersor.softmax(w, out=out)
            def threads(n):
                for _ in range(n):
                    t = threading.Thread(target=call); t.start(); t.join()
            threads(20)
            before = rss()
            threads(300)
            print(rss() - before)
        """
        assert float(assert_succeeds(code)) < 50


# --- errors and interrupts -------------------------------------------------------------------------------------------


class TestErrors:
    def test_error_of_any_chunk_is_carried(self, threads: int) -> None:
        q = np.zeros((64, 40_000), np.int8)
        for row in (0, 31, 63):
            q[row, -1] = 99
            for _ in range(20):
                with pytest.raises(ValueError, match="outside"):
                    tersor.pack_int4(q)
            q[row, -1] = 0
        tersor.pack_int4(q)

    @pytest.mark.parametrize("count", [1, 2])
    @needs_plain_build
    def test_ctrl_c_is_answered(self, count: int) -> None:
        """A call that would take minutes ends within a tenth of a second or so, and the next one works."""
        code = f"""
            tersor.set_num_threads({count})
            x = np.broadcast_to(np.ones(1 << 20, np.float32), (10**7, 1 << 20))
            sent = []
            def interrupt():
                time.sleep(0.5)
                sent.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=interrupt).start()
            try:
                tersor.count_nonzero(x)
            except KeyboardInterrupt:
                print(time.perf_counter() - sent[0])
            assert tersor.count_nonzero(x[:3]) == 3 << 20
            tersor.softmax(w)
        """
        assert float(assert_succeeds(code)) < 0.5  # 0.1 s is the aim; a busy machine may be slow to wake us

    def test_signal_handler_without_an_exception_lets_the_call_go_on(self) -> None:
        code = """
            seen = []
            signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            x = np.broadcast_to(np.ones(1 << 20, np.float32), (1 << 11, 1 << 20))
            assert tersor.count_nonzero(x) == 1 << 31
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(len(seen))
        """
        assert int(assert_succeeds(code, 300)) >= 2

    def test_exception_of_a_signal_handler_arrives_unchanged(self) -> None:
        code = """
            class Alarm(Exception): pass
            def handler(*_): raise Alarm('time is up')
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            x = np.broadcast_to(np.ones(1 << 20, np.float32), (10**7, 1 << 20))
            try:
                tersor.count_nonzero(x)
            except Alarm as alarm:
                print(alarm)
        """
        assert assert_succeeds(code) == "time is up"

    def test_no_thread_takes_the_signals(self) -> None:
        """Workers block every signal: the host's own threads handle them."""
        code = """
            before = set(os.listdir('/proc/self/task'))
            tersor.set_num_threads(3)
            tersor.softmax(w)
            for task in set(os.listdir('/proc/self/task')) - before:
                status = open(f'/proc/self/task/{task}/status').read()
                blocked = int(status.split('SigBlk:')[1].split()[0], 16)
                print(bool(blocked & 1 << signal.SIGINT - 1), bool(blocked & 1 << signal.SIGTERM - 1))
        """
        assert assert_succeeds(code).split("\n") == ["True True"] * 2


# --- forks -----------------------------------------------------------------------------------------------------------

FORK = """
    expected = tersor.softmax(w).tobytes()
    def wait(pid, seconds=20):
        end = time.time() + seconds
        while time.time() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f'the child ended with {status}'
                return
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise SystemExit('a forked child hangs')
    def child(work):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        return pid
    def call():
        assert tersor.softmax(w).tobytes() == expected
"""


@needs_forks
class TestForks:
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_use_after_fork(self, count: int) -> None:
        code = """
            for _ in range(100):
                tersor.softmax(w)
                wait(child(call))
            print('done')
        """
        assert assert_succeeds(textwrap.dedent(FORK) + textwrap.dedent(code), 120, TERSOR_NUM_THREADS=str(count)) == "done"

    def test_fork_while_another_thread_is_inside_a_call(self) -> None:
        code = """
            stop = threading.Event()
            def work():
                while not stop.is_set():
                    tersor.softmax(w)
            threads = [threading.Thread(target=work) for _ in range(2)]
            for t in threads: t.start()
            try:
                for _ in range(100):
                    wait(child(call))
            finally:
                stop.set()
            for t in threads: t.join()
            call()
            print('done')
        """
        assert assert_succeeds(textwrap.dedent(FORK) + textwrap.dedent(code), 120, TERSOR_NUM_THREADS="3") == "done"

    def test_children_of_children(self) -> None:
        code = """
            def generation(left):
                call()
                if left: wait(child(lambda: generation(left - 1)))
                call()
            for _ in range(10): generation(4)
            print('done')
        """
        assert assert_succeeds(textwrap.dedent(FORK) + textwrap.dedent(code), 120, TERSOR_NUM_THREADS="3") == "done"

    def test_parent_goes_on_while_children_work(self) -> None:
        code = """
            for _ in range(10):
                children = [child(lambda: [call() for _ in range(5)]) for _ in range(4)]
                for _ in range(5): call()
                for pid in children: wait(pid)
            print('done')
        """
        assert assert_succeeds(textwrap.dedent(FORK) + textwrap.dedent(code), 120, TERSOR_NUM_THREADS="2") == "done"

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing(self, method: str) -> None:
        code = f"""
            import multiprocessing
            tersor.softmax(w)
            context = multiprocessing.get_context({method!r})
            with context.Pool(2) as pool:
                results = pool.map_async(tersor.softmax, [w[:100]] * 8).get(60)
            assert all(r.tobytes() == tersor.softmax(w[:100]).tobytes() for r in results)
            print('done')
        """
        assert assert_succeeds(code, 90) == "done"

    def test_ctrl_c_in_a_forked_child(self) -> None:
        code = """
            def interrupted():
                x = np.broadcast_to(np.ones(1 << 20, np.float32), (10**7, 1 << 20))
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    tersor.count_nonzero(x)
                except KeyboardInterrupt:
                    return
                raise AssertionError('not interrupted')
            wait(child(interrupted))
            print('done')
        """
        assert assert_succeeds(textwrap.dedent(FORK) + textwrap.dedent(code), 60, TERSOR_NUM_THREADS="2") == "done"

    def test_end_of_the_process_does_not_wait_for_workers(self) -> None:
        start = time.perf_counter()
        assert_succeeds("tersor.softmax(w)", 30, TERSOR_NUM_THREADS="7")
        assert time.perf_counter() - start < 20


# --- a host with other floating-point settings -----------------------------------------------------------------------


@contextmanager
def flush_to_zero() -> Iterator[None]:
    if torch is None:
        pytest.skip("torch is not installed")
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU has no flush-to-zero mode")
    try:
        yield
        half = torch.tensor([1e-38]) * torch.tensor([0.5])
        assert half.item() == 0, "a call has ended the host's own flush-to-zero mode"
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def round_towards_zero() -> Iterator[None]:
    modes = {"x86_64": 0xC00, "aarch64": 0xC00000}  # FE_TOWARDZERO of the C library
    mode = modes.get(platform.machine())
    if mode is None:
        pytest.skip(f"the rounding modes of {platform.machine()} are not known here")
    library = ctypes.CDLL(None)
    library.fesetround(mode)
    try:
        yield
        assert library.fegetround() == mode, "a call has changed the host's rounding mode"
    finally:
        library.fesetround(0)


FLOAT_CASES = [(operation, dtype) for operation, dtype in cases() if dtype != np.dtype(np.uint8)]


@pytest.mark.parametrize("operation, dtype", FLOAT_CASES, ids=case_name)
@pytest.mark.parametrize("environment", [flush_to_zero, round_towards_zero])
def test_host_s_float_settings_move_no_bit(
    environment: Callable[[], Any], operation: Any, dtype: Any, settings: Any
) -> None:
    for shape in ((3, 20), (40, 2001)):  # in the caller alone, and with workers
        arrays = operation.make(shape, dtype)
        subnormal = arrays[0].dtype.kind in "fV" and bits(arrays[0]).size
        assert subnormal or operation.name.startswith("dequantize")
        expected = operation.expected(arrays, shape, dtype)
        for setting in settings:
            with environment():
                results = operation.run(arrays, shape, dtype)
            for result, wanted in zip(results, expected, strict=True):
                assert_same_bits(result, wanted, f"{shape}, {setting}")


@pytest.mark.parametrize("environment", [flush_to_zero, round_towards_zero])
def test_host_s_float_settings_do_not_move_scalars(environment: Callable[[], Any]) -> None:
    """eps and the temperature are read under the host's settings, where 1e-40 in float32 would be 0."""
    w = np.array([0.0, 5e-41, 1e-40, 2e-40, 1e-38], np.float32)
    pruned, mask = tersor.prune_threshold(w, 1e-40), tersor.mask_threshold(w, 1e-40)
    x = np.array([0.0, -1e-300, -1e-310], np.float64)
    hot, cold = tersor.softmax(x, 1e-310), tersor.softmax(x, np.full((1,), 1e-310))
    with environment():
        results = (
            tersor.prune_threshold(w, 1e-40), tersor.mask_threshold(w, 1e-40),
            tersor.softmax(x, 1e-310), tersor.softmax(x, np.full((1,), 1e-310)),
        )  # fmt: skip
    for result, expected in zip(results, (pruned, mask, hot, cold), strict=True):
        assert_same_bits(result, expected)


# Operations whose results are no arrays of their inputs' shape, or depend on much else: they have tests of their own at
# every CPU level and thread count.
TESTED_APART = {
    "test_bitmask.py": "count_mask",
    "test_compress.py": "compress_bitmask decompress_bitmask bitmask_to_csr bitmask_from_csr",
    "test_compress_nm.py": "compress_24 decompress_24 compress_nm decompress_nm",
    "test_prune.py": "count_nonzero sparsity",
    "test_select.py": "kth_magnitude kth_value quantile magnitude_threshold",
    "test_prune_ranked.py": "prune_scores mask_scores prune_taylor mask_taylor prune_wanda "
    "mask_wanda prune_mean mask_mean prune_random mask_random cubic_sparsity",
    "test_prune_pattern.py": "prune_nm mask_nm prune_blocks mask_blocks",
    "test_structured.py": "select_units remove_units score_units_by_loss",
    "test_information.py": "histogram2d mutual_information mask_information prune_information",
    "test_nats.py": "distribution_entropy divergence",
    "test_quantize_calibrate.py": "Calibrator",
    "test_quantize_error.py": "quantization_error",
}


def test_every_operation_is_in_the_table() -> None:
    """What these tests walk, and the few that have a test file of their own, are the whole public API."""
    named = {operation.name.split()[0] for operation in OPERATIONS}
    runtime = {"cpu_level", "cpu_levels", "get_num_threads", "set_num_threads", "register_threadpoolctl"}
    apart = {name for names in TESTED_APART.values() for name in names.split()}
    assert named | apart | runtime | {"BitmaskTensor", "Quantized", "QuantizationError"} == set(tersor.__all__)


@pytest.mark.parametrize("file", TESTED_APART)
def test_operations_apart_are_tested(file: str) -> None:
    text = (Path(__file__).parent / file).read_text()
    assert [name for name in TESTED_APART[file].split() if name not in text] == []
    assert re.search(r"\b(settings|each_level)\b", text)
