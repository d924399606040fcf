"""runtime: threads and CPU levels."""

from __future__ import annotations

from tersor import _core


def get_num_threads() -> int:
    """Tell how many threads a call may use, the calling one among them.

    ``TERSOR_NUM_THREADS`` where it is set; else the least of the CPUs that the process may run on, its cgroup's CPU
    quota, and ``OMP_NUM_THREADS``; or what ``set_num_threads`` has set. Results do not depend on it.
    """
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Let each later call use up to ``count`` threads.

    Raises
    ------
    ValueError
        count is less than 1.
    TypeError
        count is not an integer.

    Examples
    --------
    >>> import tersor
    >>> before = tersor.get_num_threads()
    >>> tersor.set_num_threads(1)
    >>> tersor.get_num_threads()
    1
    >>> tersor.set_num_threads(before)
    """
    _core.set_num_threads(count)


def cpu_level() -> str:
    """Name the compiled copy of the kernels in use: "baseline", "avx2" or "avx512"; "neon" on Arm.

    It is the best one that this CPU runs, unless the environment variable ``TERSOR_CPU_LEVEL`` names another. Results do
    not depend on it.
    """
    return _core.cpu_level()


def cpu_levels() -> tuple[str, ...]:
    """Name the levels that this CPU runs, lowest first."""
    return _core.cpu_levels()


def register_threadpoolctl() -> None:
    """Make tersor's threads known to threadpoolctl, so that ``threadpool_limits(limits=2)`` limits them too.

    Call it once. The library's ``user_api`` is "tersor".

    Raises
    ------
    ImportError
        threadpoolctl is not installed.

    Examples
    --------
    >>> import threadpoolctl
    >>> import tersor
    >>> tersor.register_threadpoolctl()
    >>> with threadpoolctl.threadpool_limits(limits=1, user_api="tersor"):
    ...     tersor.get_num_threads()
    1
    """
    from tersor import _threadpoolctl

    _threadpoolctl.register()
