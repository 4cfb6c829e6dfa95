"""The map of the mesh: who handles what is said on the wire, and who listens to what is said at home.

Two tables on one page. A wire message has exactly one handler. A local command has one listener, an
event any number, heard in the order written here. What concerns a single topic partition (Committed,
PartitionTrimmed, Read, CancelRead, Locate) is not in the table: Replica and ClientGateway tell that one's TopicLog.
Nor is Store, which Replica tells its disk.
"""

from __future__ import annotations

from enum import StrEnum

from logstream.core import failure_detector, stream_assigner, topic_log, topics, view_vocabulary
from logstream.core.events import LinkDown, LinkUp, SessionClosed
from logstream.core.gateway import vocabulary as gateway
from logstream.core.replica import vocabulary as replica
from logstream.protocol import messages as wire


class Seat(StrEnum):
    """The actors of a mesh, in the order in which they start; they stop in the reverse order."""

    CARETAKER = "caretaker"
    REPLICA = "replica"
    VIEW_MANAGER = "view_manager"
    TOPICS = "topics"
    STREAM_ASSIGNER = "stream_assigner"
    CLIENT_GATEWAY = "client_gateway"
    ELECTOR = "elector"
    FAILURE_DETECTOR = "failure_detector"
    HEARTBEAT_SENDER = "heartbeat_sender"
    TCP = "tcp"
    MULTICAST = "udp_multicast"
    BROADCAST = "udp_broadcast"
    DISCOVERY = "discovery"


WIRE: dict[type, Seat] = {
    wire.Join: Seat.DISCOVERY,
    wire.JoinResponse: Seat.DISCOVERY,
    wire.Present: Seat.DISCOVERY,
    wire.Heartbeat: Seat.REPLICA,
    wire.Replicate: Seat.REPLICA,
    wire.ReplicateAck: Seat.REPLICA,
    wire.Nack: Seat.REPLICA,
    wire.Learn: Seat.REPLICA,
    wire.CatchUp: Seat.REPLICA,
    wire.Snapshot: Seat.REPLICA,
    wire.StateExchange: Seat.REPLICA,
    wire.ViewInstall: Seat.REPLICA,
    wire.State: Seat.VIEW_MANAGER,
    wire.Refuse: Seat.VIEW_MANAGER,
    wire.ViewInstallAck: Seat.VIEW_MANAGER,
    wire.Hello: Seat.VIEW_MANAGER,
    wire.Leave: Seat.VIEW_MANAGER,
    wire.Handover: Seat.VIEW_MANAGER,
    wire.Probe: Seat.ELECTOR,
    wire.ProbeAck: Seat.ELECTOR,
    wire.Election: Seat.ELECTOR,
    wire.Link: Seat.TCP,
    wire.Metadata: Seat.CLIENT_GATEWAY,
    wire.MetadataResponse: Seat.CLIENT_GATEWAY,
    wire.CreateTopic: Seat.CLIENT_GATEWAY,
    wire.AlterTopic: Seat.CLIENT_GATEWAY,
    wire.DeleteTopic: Seat.CLIENT_GATEWAY,
    wire.TopicResponse: Seat.CLIENT_GATEWAY,
    wire.Produce: Seat.CLIENT_GATEWAY,
    wire.ProduceResponse: Seat.CLIENT_GATEWAY,
    wire.Fetch: Seat.CLIENT_GATEWAY,
    wire.FetchResponse: Seat.CLIENT_GATEWAY,
    wire.ListOffsets: Seat.CLIENT_GATEWAY,
    wire.ListOffsetsResponse: Seat.CLIENT_GATEWAY,
    wire.StatusRequest: Seat.CLIENT_GATEWAY,
    wire.StatusResponse: Seat.CLIENT_GATEWAY,
    wire.ChangeLeader: Seat.CLIENT_GATEWAY,
    wire.ForceView: Seat.CLIENT_GATEWAY,
    wire.AdminResponse: Seat.CLIENT_GATEWAY,
    wire.InvalidRequestResponse: Seat.CLIENT_GATEWAY,
}

LOCAL: dict[type, tuple[Seat, ...]] = {
    # sequencing and reading
    replica.Propose: (Seat.REPLICA,),
    replica.ProposeDecision: (Seat.REPLICA,),
    replica.Produced: (Seat.CLIENT_GATEWAY,),
    replica.Rejected: (Seat.CLIENT_GATEWAY,),
    replica.DecisionCommitted: (Seat.TOPICS,),
    replica.BaseApplied: (Seat.TOPICS,),
    topics.RegistryCurrent: (Seat.CARETAKER,),
    topics.TopicOpened: (Seat.CARETAKER, Seat.DISCOVERY),
    topics.TopicRevised: (Seat.CARETAKER,),
    topics.TopicClosed: (Seat.CARETAKER, Seat.DISCOVERY),
    topic_log.ReadDone: (Seat.CLIENT_GATEWAY,),
    topic_log.Located: (Seat.CLIENT_GATEWAY,),
    # who is alive
    replica.LeaderHeard: (Seat.FAILURE_DETECTOR,),
    replica.LeaderOverheard: (Seat.DISCOVERY,),
    replica.FollowerHeard: (Seat.FAILURE_DETECTOR,),
    replica.Beat: (Seat.REPLICA,),
    replica.ServingChanged: (Seat.STREAM_ASSIGNER,),
    replica.SteppedDown: (Seat.FAILURE_DETECTOR,),
    replica.MemberStalled: (Seat.VIEW_MANAGER,),
    failure_detector.LeaderFound: (Seat.ELECTOR, Seat.CLIENT_GATEWAY, Seat.DISCOVERY),
    failure_detector.LeaderLost: (Seat.ELECTOR, Seat.CLIENT_GATEWAY, Seat.DISCOVERY),
    failure_detector.Suspected: (Seat.ELECTOR,),
    failure_detector.MemberLost: (Seat.VIEW_MANAGER,),
    failure_detector.ServingJudged: (Seat.VIEW_MANAGER, Seat.HEARTBEAT_SENDER),
    stream_assigner.RingChanged: (Seat.CLIENT_GATEWAY,),
    # views
    view_vocabulary.CandidateElected: (Seat.VIEW_MANAGER,),
    view_vocabulary.ChangeFailed: (Seat.ELECTOR, Seat.FAILURE_DETECTOR, Seat.DISCOVERY),
    view_vocabulary.TransferLeadership: (Seat.VIEW_MANAGER,),
    view_vocabulary.ForceView: (Seat.VIEW_MANAGER,),
    replica.ViewsKnown: (Seat.VIEW_MANAGER, Seat.ELECTOR, Seat.DISCOVERY, Seat.CARETAKER),
    replica.CandidateHeard: (Seat.ELECTOR, Seat.DISCOVERY),
    replica.RangeMoved: (Seat.VIEW_MANAGER,),
    replica.Gather: (Seat.REPLICA,),
    replica.Resume: (Seat.REPLICA,),
    replica.StepAside: (Seat.REPLICA,),
    replica.Gathered: (Seat.VIEW_MANAGER,),
    replica.SteppedAside: (Seat.VIEW_MANAGER,),
    replica.LearnerCaughtUp: (Seat.VIEW_MANAGER,),
    replica.Promised: (Seat.VIEW_MANAGER, Seat.CLIENT_GATEWAY, Seat.FAILURE_DETECTOR, Seat.HEARTBEAT_SENDER),
    replica.ViewInstalled: (
        Seat.CARETAKER,
        Seat.VIEW_MANAGER,
        Seat.ELECTOR,
        Seat.FAILURE_DETECTOR,
        Seat.CLIENT_GATEWAY,
        Seat.HEARTBEAT_SENDER,
        Seat.DISCOVERY,
    ),
    replica.ViewLeft: (Seat.VIEW_MANAGER, Seat.CLIENT_GATEWAY, Seat.DISCOVERY),
    # joining and leaving
    replica.LearnFrom: (Seat.CARETAKER, Seat.REPLICA),
    replica.Introduce: (Seat.REPLICA,),
    replica.OtherClusterHeard: (Seat.REPLICA,),
    replica.DropIdentity: (Seat.REPLICA,),
    replica.IdentityDropped: (Seat.CARETAKER,),
    replica.IdentityKept: (Seat.DISCOVERY,),
    view_vocabulary.FoundCluster: (Seat.VIEW_MANAGER,),
    view_vocabulary.ShrinkToSelf: (Seat.VIEW_MANAGER,),
    view_vocabulary.LeaveCluster: (Seat.ELECTOR, Seat.VIEW_MANAGER),
    view_vocabulary.Left: (Seat.CARETAKER,),
    # links, sessions, status
    LinkUp: (Seat.REPLICA, Seat.ELECTOR, Seat.VIEW_MANAGER),
    LinkDown: (Seat.REPLICA, Seat.FAILURE_DETECTOR, Seat.ELECTOR, Seat.VIEW_MANAGER, Seat.CLIENT_GATEWAY),
    SessionClosed: (Seat.CLIENT_GATEWAY,),
    gateway.StatusAsked: (Seat.CARETAKER,),
    gateway.StatusReady: (Seat.CLIENT_GATEWAY,),
}
