//! TCP states and the table of their transitions (net/netfilter/nf_conntrack_proto_tcp.c, `tcp_conntracks`).

use crate::netfilter::conntrack::Dir;
use crate::wire::l4::{ACK, FIN, RST, SYN, TcpHeader};

/// What the host in the middle believes of a connection (`enum tcp_conntrack`), in the kernel's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum TcpState {
    /// Nothing seen.
    #[default]
    None,
    /// A SYN seen.
    SynSent,
    /// A SYN-ACK seen.
    SynRecv,
    /// The handshake is complete, or the connection was picked up in its middle.
    Established,
    /// One FIN seen.
    FinWait,
    /// It was acknowledged.
    CloseWait,
    /// FINs seen in both directions.
    LastAck,
    /// The last ACK seen.
    TimeWait,
    /// A RST seen.
    Close,
    /// SYNs seen in both directions: simultaneous open.
    SynSent2,
}

impl TcpState {
    /// The name as `conntrack -L` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// Whether the connection is closing, so that its tuple may be in use anew (`tcp_can_early_drop`).
    pub(super) const fn is_closing(self) -> bool {
        matches!(self, Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close)
    }
}

/// What a segment is, judged by RST, SYN, FIN and ACK in this order (`get_conntrack_index`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
    #[default]
    None,
}

impl Kind {
    pub(super) fn of(header: &TcpHeader) -> Self {
        match header.flags {
            f if f & RST != 0 => Self::Rst,
            f if f & (SYN | ACK) == SYN | ACK => Self::SynAck,
            f if f & SYN != 0 => Self::Syn,
            f if f & FIN != 0 => Self::Fin,
            f if f & ACK != 0 => Self::Ack,
            _ => Self::None,
        }
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Into this state.
    To(TcpState),
    /// Nowhere: it may be valid or not, its receiver will say.
    Ignore,
    /// Nowhere: it is not part of this connection.
    Invalid,
}

/// Where a segment of `kind` leads from `state`.
pub(super) fn next(dir: Dir, kind: Kind, state: TcpState) -> Next {
    row(dir, kind)[state as usize]
}

const SS: Next = Next::To(TcpState::SynSent);
const SR: Next = Next::To(TcpState::SynRecv);
const ES: Next = Next::To(TcpState::Established);
const FW: Next = Next::To(TcpState::FinWait);
const CW: Next = Next::To(TcpState::CloseWait);
const LA: Next = Next::To(TcpState::LastAck);
const TW: Next = Next::To(TcpState::TimeWait);
const CL: Next = Next::To(TcpState::Close);
const S2: Next = Next::To(TcpState::SynSent2);
const IG: Next = Next::Ignore;
const IV: Next = Next::Invalid;

/// A row of the table: one place for each state, in their order.
#[rustfmt::skip]
const fn row(dir: Dir, kind: Kind) -> [Next; 10] {
    match (dir, kind) {
        // from                      none  SS  SR  ES  FW  CW  LA  TW  CL  S2
        (Dir::Orig,  Kind::Syn)    => [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2],
        (Dir::Orig,  Kind::SynAck) => [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR],
        (Dir::Orig,  Kind::Ack)    => [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV],
        (Dir::Reply, Kind::Syn)    => [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2],
        (Dir::Reply, Kind::SynAck) => [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR],
        (Dir::Reply, Kind::Ack)    => [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG],
        (_,          Kind::Fin)    => [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
        (_,          Kind::Rst)    => [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
        (_,          Kind::None)   => [IV; 10],
    }
}
