"""One function over many files, or groups of files, on all cores, with a cache and a report of progress.

Worker processes are spawned, not forked: interpreters and OpenCV do not survive a fork.
"""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path

from agent.evaluation.cache import ResultCache
from agent.evaluation.errors import EvaluationError

#: Called with how many items are done and how many there are.
Progress = Callable[[int, int], None]
#: Files that belong together: one picture, or the frames of a clip in order.
Item = tuple[Path, ...]


def map_items(
    items: Iterable[Item],
    work: Callable[[Item], bytes],
    prepare: Callable[..., None],
    arguments: tuple[object, ...],
    cache: ResultCache,
    jobs: int = 0,
    progress: Progress | None = None,
    batch: int = 8,
) -> dict[Item, bytes | None]:
    """`work(item)` for each item; None if none of its files is there.

    `prepare(*arguments)` runs once in each worker. Both must be importable functions. `jobs` 0 takes every core;
    workers take `batch` items at a time, and a stopped run loses no more than those.

    Raises:
        EvaluationError: `evaluation.samples`, not one of the files is there; `evaluation.worker`, a worker died.
    """
    wanted = list(dict.fromkeys(items))
    digests = {item: _digest(item) for item in wanted}
    if wanted and not any(digests.values()):
        raise EvaluationError("evaluation.samples", f"none of the files is there: the first is {wanted[0][0]}")
    known = cache.get(digest for digest in digests.values() if digest)
    # Equal content is computed once.
    missing = {digest: item for item, digest in digests.items() if digest and digest not in known}
    total, done = len(wanted), len(wanted) - len(missing)
    report = progress or _silent
    report(done, total)
    todo = list(missing.items())
    batches = [todo[i : i + batch] for i in range(0, len(todo), batch)]
    with closing(_run(batches, work, prepare, arguments, jobs or len(os.sched_getaffinity(0)))) as produced:
        for results in produced:
            cache.put(results)
            known |= results
            done += len(results)
            report(done, total)
    return {item: known.get(digest) if digest else None for item, digest in digests.items()}


def _run(
    batches: Sequence[list[tuple[str, Item]]],
    work: Callable[[Item], bytes],
    prepare: Callable[..., None],
    arguments: tuple[object, ...],
    jobs: int,
) -> Generator[dict[str, bytes], None, None]:
    if jobs == 1 or len(batches) <= 1:
        if batches:
            prepare(*arguments)
        for batch in batches:
            yield _batch(work, batch)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(batches)), context, partial(_start, prepare, arguments)) as pool:
        futures = [pool.submit(_batch, work, batch) for batch in batches]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise EvaluationError("evaluation.worker", "a worker process died") from error
        finally:
            # Waiting keeps the pool alive until it has cancelled what waits: a forgotten one finishes its work first.
            pool.shutdown(wait=True, cancel_futures=True)


def _start(prepare: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """The beginning of a worker: an interruption is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare(*arguments)


def _batch(work: Callable[[Item], bytes], batch: list[tuple[str, Item]]) -> dict[str, bytes]:
    return {digest: work(item) for digest, item in batch}


def _digest(item: Item) -> str | None:
    """The digest of an item's content in order; None if not one of its files can be read."""
    parts = [_file_digest(path) for path in item]
    if not any(parts):
        return None
    return hashlib.sha256("\n".join(part or "missing" for part in parts).encode()).hexdigest()


def _file_digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""
