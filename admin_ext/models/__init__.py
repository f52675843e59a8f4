from .attempt import AttemptState, TaskAttempt
from .heartbeat import Heartbeat, ProcessKind
from .lease import Lease

__all__ = ["AttemptState", "Heartbeat", "Lease", "ProcessKind", "TaskAttempt"]
