//! The states of a connection (RFC 9293 3.3.2) and what TCP_INFO shows of one.

use std::fmt;

use crate::engine::time::Duration;

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are RFC 9293's")]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
    Listen,
}

impl State {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
        Self::Closed,
        Self::Listen,
    ];
}

impl fmt::Display for State {
    /// The kernel's name, for example `FIN_WAIT1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed => "CLOSE",
            Self::Listen => "LISTEN",
        })
    }
}

/// How a sender thinks of its path (`enum tcp_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum CaState {
    /// Nothing unusual.
    #[default]
    Open,
    /// Something arrived out of order.
    Disorder,
    /// The window is being reduced though nothing was lost.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

impl CaState {
    /// The kernel's name, for example `recovery`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Disorder => "disorder",
            Self::Cwr => "cwr",
            Self::Recovery => "recovery",
            Self::Loss => "loss",
        }
    }
}

/// What TCP_INFO tells about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// The state of the connection.
    pub state: State,
    /// The state of loss recovery.
    pub ca_state: CaState,
    /// Retransmissions of the first segment since it was last acknowledged.
    pub retransmits: u32,
    /// Probes sent that were not answered.
    pub probes: u32,
    /// Doublings of the timeout.
    pub backoff: u32,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Delay of ACKs.
    pub ato: Duration,
    /// Bytes of data in a segment sent.
    pub snd_mss: u32,
    /// Bytes of data expected in a segment received.
    pub rcv_mss: u32,
    /// Segments outstanding.
    pub unacked: u32,
    /// Segments a SACK covers.
    pub sacked: u32,
    /// Segments taken for lost.
    pub lost: u32,
    /// Segments sent again and in flight.
    pub retrans: u32,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow start threshold in segments; 0x7fffffff: none.
    pub ssthresh: u32,
    /// Path MTU in bytes.
    pub pmtu: u32,
    /// Bytes written but not acknowledged (`tx_queue`; SYN and FIN count).
    pub send_queue: u32,
    /// Bytes received but not read (`rx_queue`; FIN counts).
    pub receive_queue: u32,
}
