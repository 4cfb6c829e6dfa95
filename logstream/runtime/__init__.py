"""How actors run: one actor type, one scheduler per node, and a loop that may be real or pretended."""

from logstream.runtime.node_actor import NodeActor, Report, Reported
from logstream.runtime.refs import SafeRef, To
from logstream.runtime.scheduler import Loop, Scheduled, Scheduler, TimerHandle

__all__ = ["Loop", "NodeActor", "Report", "Reported", "SafeRef", "Scheduled", "Scheduler", "TimerHandle", "To"]
