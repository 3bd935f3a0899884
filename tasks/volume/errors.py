"""The exception tree. Every message says what, where, what is allowed, what to do; each class has an exit code.

EmsegError
├── ConfigError         bad usage, run.yaml, flag or model: nothing was started        exit 2
│   └── PlanChangedError    the run directory holds another plan                       exit 2
├── LayerError          a layer is missing, unreadable or not what it claims           exit 2
│   └── CorruptChunkError   a stored object is absent, torn or altered                 exit 1
├── LimitError          an allocation or a decompression would pass its budget         exit 2
├── IncompleteError     receipts are missing where all are needed                      exit 1
├── NotDeterministicError   two executions of one task wrote different bytes           exit 1
├── TaskFailedError     a task was quarantined                                         exit 1
├── MessageError        a queue message is not a task of a plan that we may touch      exit 1
├── WorkerLostError     workers were lost over one task                                exit 1
└── TransientError      network, disk full, throttling: try again                      exit 75
"""


class EmsegError(Exception):
    """Base of all errors that emseg raises on purpose."""

    exit_code = 1
    permanent = True


class ConfigError(EmsegError, ValueError):
    """Bad usage, configuration or model; nothing was started."""

    exit_code = 2


class PlanChangedError(ConfigError):
    """The run directory holds a plan with another hash."""


class LayerError(EmsegError, OSError):
    """A layer is missing, unreadable or not what it claims to be."""

    exit_code = 2


class CorruptChunkError(LayerError):
    """A stored object is absent, torn or altered."""

    exit_code = 1


class LimitError(EmsegError, MemoryError):
    """An allocation or a decompression would pass its budget."""

    exit_code = 2


class IncompleteError(EmsegError):
    """Receipts are missing where all are needed."""


class NotDeterministicError(EmsegError):
    """Two executions of one task wrote different bytes."""


class TaskFailedError(EmsegError):
    """A task was quarantined: it failed for good, or too often."""


class MessageError(EmsegError, ValueError):
    """A queue message is not a task of a plan that this worker may touch."""


class WorkerLostError(EmsegError):
    """Workers died or fell silent over one task, without an error of its own."""

    permanent = False


class TransientError(EmsegError):
    """Network, disk or throttling trouble that a later attempt may not meet."""

    exit_code = 75
    permanent = False
