"""Where tasks run: here, in processes, or on a Dask cluster; always the same functions with the same arguments."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from pointsman.errors import MissingExtraError, TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]

__all__ = ["engine"]


@contextmanager
def engine(name: str, workers: int, address: str | None = None) -> Iterator[Run]:
    """Give a function that runs a task on many tuples of arguments; results come in any order.

    Parameters
    ----------
    name : str
        ``local`` or ``dask``.
    workers : int
        Processes; 1 with ``local`` is this process.
    address : str, optional
        Of a Dask scheduler that runs already; its workers must see the same files. Without it a cluster is started on
        this machine and stopped again.

    Raises
    ------
    MissingExtraError
        Where Dask is not installed.
    TraceError
        Where no scheduler answers at the address.
    """
    if name == "dask":
        with _dask(workers, address) as run:
            yield run
    elif workers == 1:
        yield _here
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:

            def run(task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
                for done in as_completed([pool.submit(task, *one) for one in arguments]):
                    yield done.result()

            yield run


def _here(task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    for one in arguments:
        yield task(*one)


def _one_thread() -> None:
    """Let a worker use one core: the others have their own."""
    import pyarrow as pa

    os.environ["OMP_NUM_THREADS"] = "1"
    pa.set_cpu_count(1)


@contextmanager
def _dask(workers: int, address: str | None) -> Iterator[Run]:
    try:
        import dask.distributed
    except ModuleNotFoundError as error:
        raise MissingExtraError("dask.distributed", "scale") from error
    distributed: Any = dask.distributed  # it tells no types
    if address is None:
        cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=40
        )
    try:
        client = distributed.Client(cluster if address is None else address)
    except (OSError, TimeoutError) as error:
        raise TraceError(f"no Dask scheduler answers at {address}: {error}") from error
    try:

        def run(task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
            submitted = [client.submit(task, *one, pure=False) for one in arguments]
            for _, result in distributed.as_completed(submitted, with_results=True):
                yield result

        yield run
    finally:
        client.close()
        if address is None:
            cluster.close()
