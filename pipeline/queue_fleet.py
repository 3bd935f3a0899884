"""Several workers on one machine, one a device: `--gpus all`."""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog

from emseg.pipeline.output import log_to_stderr
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.worker import work
from emseg.tasks.volume.errors import ConfigError, EmsegError

STOP_GRACE_S = 9.0  # a worker hands back within this
RESTARTS = 5  # of one worker, then the device is given up
RESTART_S = 2.0
LOOK_S = 60.0
UNSOUND = 3  # exit code of a worker that served to its end, but gave tasks up: it is not started again
log = structlog.get_logger()


def chosen_devices(gpus: str, found: int) -> list[str]:
    """Devices that `--gpus` names: '' is the CPU, 'all' every GPU found, '0,2' these.

    Raises:
        ConfigError: no GPU where some are wanted, or one that is not there.
    """
    if not gpus:
        return ["cpu"]
    names = [str(i) for i in range(found)] if gpus == "all" else [g.strip() for g in gpus.split(",")]
    if not names or not all(n.isascii() and n.isdigit() and int(n) < found for n in names):
        raise ConfigError(f"--gpus {gpus}: this machine shows {found} GPUs; give 'all' or numbers below that")
    return [f"cuda:{int(n)}" for n in dict.fromkeys(names)]


def found_gpus() -> int:
    """Number of CUDA devices that this process sees."""
    import torch

    return int(torch.cuda.device_count())


@dataclass
class Post:
    """One device and the process that serves it."""

    device: str
    process: SpawnProcess
    restarts: int = 0


def supervise(devices: list[str], queue_url: str, task_class: str, **options: Any) -> int:
    """Run `work` in one process a device; a worker that dies is started again. The worst exit code.

    Args:
        devices: torch names, one process each.
        queue_url: as for `work`; `options` are its other keyword arguments.
    """
    with Stop() as stop:
        posts = [Post(d, _started(d, queue_url, task_class, options)) for d in devices]
        try:
            while not stop.requested and (left := [p for p in posts if p.process.is_alive() or _revivable(p)]):
                stop.wait([p.process.sentinel for p in left], LOOK_S)
                for post in filter(_revivable, left):
                    log.warning("worker died", device=post.device, code=post.process.exitcode)
                    stop.wait([], RESTART_S)
                    post.process = _started(post.device, queue_url, task_class, options)
                    post.restarts += 1
        finally:
            _end(posts)
    return max(_code(p.process.exitcode) for p in posts)


def _code(exitcode: int | None) -> int:
    """Exit code of a process; a signal, and tasks that were given up, count as 1."""
    return exitcode if exitcode is not None and exitcode >= 0 and exitcode != UNSOUND else 1


def _revivable(post: Post) -> bool:
    """Whether a worker ended by accident: neither normally nor for bad usage, nor too often."""
    return post.process.exitcode not in (None, 0, UNSOUND, ConfigError.exit_code) and post.restarts < RESTARTS


def _started(device: str, queue_url: str, task_class: str, options: dict[str, Any]) -> SpawnProcess:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve_device, args=(device, queue_url, task_class, options))
    process.start()
    return process


def serve_device(device: str, queue_url: str, task_class: str, options: dict[str, Any]) -> None:
    """What a process of the fleet does: serve, and end with the exit code of the error tree."""
    log_to_stderr()
    try:
        served = work(queue_url, task_class, device=device, **options)
    except EmsegError as error:
        log.error("worker ends", device=device, error=str(error))
        sys.exit(error.exit_code)
    if not served.sound:
        sys.exit(UNSOUND)


def _end(posts: list[Post]) -> None:
    for post in posts:
        if post.process.is_alive():
            post.process.terminate()
    for post in posts:
        post.process.join(STOP_GRACE_S)
        if post.process.is_alive():
            post.process.kill()
            post.process.join()
