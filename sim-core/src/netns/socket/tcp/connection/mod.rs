//! One connection: everything a `struct tcp_sock` holds, and what may happen to it.
//!
//! `input` takes segments, `ack` what they acknowledge, `receive` their data; `output` makes segments; `recovery`,
//! `sack` and `rack` find out what was lost; `timers` fire; `user` is what the application calls; `errors` what ICMP says.

mod ack;
mod delack;
mod ecn;
mod errors;
mod handshake;
mod input;
mod output;
mod rack;
mod reassembly;
mod receive;
mod receive_queue;
mod recovery;
mod retransmit;
mod rtt;
mod rtx;
mod sack;
mod state;
mod timers;
mod undo;
mod user;
mod window;
mod write_queue;

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::congestion::Congestion;
use super::context::Context;
use super::options::TIMESTAMPS_ALIGNED;
use super::path::Path;
use super::seq::{before, between};
use super::sockopt::SocketOptions;
use super::time_wait::TimeWait;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::netns::socket::tx_hash;
use crate::wire::ip::Family;

pub(super) use delack::DelayedAck;
pub(super) use ecn::Ecn;
pub use errors::IcmpError;
pub(super) use input::Verdict;
pub(super) use receive::Receiver;
pub(super) use recovery::Recovery;
pub(super) use rtt::{RTO_INITIAL, RTO_MAX, Rtt};
use rtx::RtxQueue;
pub use state::{CaState, Info, State};
pub(super) use timers::Timers;
pub(super) use window::{InitialWindow, initial_window};
use write_queue::WriteQueue;

/// Memory of a packet to be sent besides its data (`tcp_stream_alloc_skb`).
const SENT_OVERHEAD: u32 = 832;

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The family of its socket: one of IPv6 may speak IPv4.
    pub(super) family: Family,
    /// The flow hash of what it sends. A timeout chooses another: perhaps the path is at fault (`sk_rethink_txhash`).
    pub(super) tx_hash: u32,
    pub(super) state: State,
    pub(super) options: SocketOptions,
    pub(super) path: Path,
    pub(super) negotiated: Negotiated,
    pub(super) snd: Sender,
    pub(super) rcv: Receiver,
    pub(super) delack: DelayedAck,
    pub(super) ecn: Ecn,
    pub(super) rtt: Rtt,
    pub(super) congestion: Congestion,
    pub(super) recovery: Recovery,
    pub(super) timers: Timers,
    /// SO_ERROR.
    pub(super) error: Option<Errno>,
    /// An ICMP error that ends nothing by itself.
    pub(super) soft_error: Option<Errno>,
    /// The peer sent FIN, or the connection is gone: nothing more will be received.
    pub(super) receive_shutdown: bool,
    /// Nothing more may be sent.
    pub(super) send_shutdown: bool,
    /// The end of what the peer sent is in order: reading gives end of file.
    pub(super) eof: bool,
    /// An application has the socket: it waits no longer to be accepted.
    pub(super) accepted: bool,
    /// The application has closed the socket.
    pub(super) orphan: bool,
    /// What replaces the connection in the table, once it is closed.
    pub(super) successor: Option<TimeWait>,
    /// When an answer to a segment that did not fit was sent last.
    pub(super) last_oow_ack: Option<Instant>,
}

/// What the two SYNs agreed upon.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiated {
    pub(super) sack: bool,
    pub(super) window_scaling: bool,
    /// How far the peer's windows are shifted.
    pub(super) snd_wscale: u8,
    /// How far our windows are shifted.
    pub(super) rcv_wscale: u8,
    /// The timestamps of the peer, if they are in use.
    pub(super) timestamps: Option<PeerClock>,
    /// Added to our clock in our timestamps.
    pub(super) ts_offset: u32,
    /// The MSS we announce, without the room for timestamps.
    pub(super) advmss: u32,
    /// The MSS the peer announced.
    pub(super) mss_clamp: u32,
}

/// The peer's timestamp that will be echoed (`ts_recent`).
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerClock {
    pub(super) recent: u32,
    pub(super) stored: Instant,
}

/// The sending side.
#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    /// First sequence number not acknowledged.
    pub(super) una: u32,
    /// Next sequence number to be sent.
    pub(super) nxt: u32,
    /// After the last byte (and FIN) written.
    pub(super) write_seq: u32,
    /// The peer's window in bytes, from `una`.
    pub(super) wnd: u32,
    /// Sequence number of the segment that last updated the window.
    pub(super) wl1: u32,
    /// The greatest window seen.
    pub(super) max_window: u32,
    /// End of the last small segment sent, for Nagle's rule (RFC 896, Minshall's form).
    pub(super) small: u32,
    pub(super) fin_queued: bool,
    /// End of what was last marked to be pushed.
    pub(super) pushed: u32,
    /// Bytes of data in a segment (`mss_cache`).
    pub(super) mss: u32,
    /// Less than the path allows, because more seems to be swallowed (`icsk_mtup.search_low`).
    pub(super) tried_mss: Option<u32>,
    /// When data was sent last.
    pub(super) last_data: Instant,
    pub(super) bytes_acked: u64,
    /// Segments delivered in all.
    pub(super) delivered: u32,
    /// The application found no room and waits.
    pub(super) no_space: bool,
    /// Send buffer size in bytes.
    buffer_size: u32,
    buffer: SendBuffer,
    unsent: WriteQueue,
    rtx: RtxQueue,
}

impl Sender {
    /// The first sequence number beyond the peer's window.
    pub(super) fn window_end(&self) -> u32 {
        self.una.wrapping_add(self.wnd)
    }

    /// Bytes written that were not sent.
    pub(super) fn unsent(&self) -> u32 {
        self.write_seq.wrapping_sub(self.nxt).saturating_sub(u32::from(self.fin_queued))
    }

    /// The end of the first packet that waits, with the FIN if that is all.
    pub(super) fn first_end(&self) -> u32 {
        if self.unsent.len() <= 1 { self.write_seq } else { self.nxt.wrapping_add(self.unsent.first()) }
    }

    /// Memory that everything written and not acknowledged takes (`sk_wmem_queued`).
    pub(super) fn memory(&self) -> u32 {
        let packets = (self.unsent.len() + self.rtx.len()) as u32;
        packets.saturating_mul(SENT_OVERHEAD).saturating_add(self.unsent() + self.rtx.bytes())
    }

    /// Whether data or FIN waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        before(self.nxt, self.write_seq)
    }
}

/// The bytes from `start` to the last byte written.
#[derive(Clone, Debug, Default)]
struct SendBuffer {
    start: u32,
    bytes: BytesMut,
}

impl SendBuffer {
    pub(super) fn new(start: u32) -> Self {
        Self { start, bytes: BytesMut::new() }
    }

    fn append(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    fn slice(&self, seq: u32, len: u32) -> Bytes {
        let from = seq.wrapping_sub(self.start) as usize;
        Bytes::copy_from_slice(&self.bytes[from..from + len as usize])
    }

    fn acknowledge(&mut self, una: u32) {
        let n = una.wrapping_sub(self.start) as usize;
        // A FIN or SYN is acknowledged beyond the last byte.
        if between(una, self.start, self.start.wrapping_add(self.bytes.len() as u32 + 1)) {
            let n = n.min(self.bytes.len());
            let _ = self.bytes.split_to(n);
            self.start = self.start.wrapping_add(n as u32);
        }
    }
}

impl Connection {
    /// A connection between `local` and `remote` whose first sequence number is `isn`.
    pub(super) fn new(
        cx: &Context,
        identity: (SocketId, SocketAddr, SocketAddr),
        isn: u32,
        path: Path,
        options: SocketOptions,
    ) -> Self {
        let (id, local, remote) = identity;
        let negotiated =
            Negotiated { advmss: path.advmss(remote), mss_clamp: super::path::DEFAULT_MSS, ..Negotiated::default() };
        let snd = Sender {
            una: isn,
            nxt: isn,
            write_seq: isn,
            wl1: 0,
            small: isn,
            pushed: isn.wrapping_add(1),
            mss: super::path::DEFAULT_MSS,
            last_data: cx.now,
            buffer_size: cx.config.wmem[1],
            buffer: SendBuffer::new(isn.wrapping_add(1)),
            ..Sender::default()
        };
        Self {
            id,
            local,
            remote,
            family: Family::of(local.ip()),
            tx_hash: tx_hash(local, remote, isn),
            state: State::Closed,
            path,
            negotiated,
            snd,
            rcv: Receiver::new(&options, &cx.config),
            delack: DelayedAck::default(),
            ecn: Ecn::default(),
            rtt: Rtt::new(cx.config.rto_min.into()),
            congestion: Congestion::new(options.congestion.unwrap_or(cx.config.congestion_control), cx.now),
            recovery: Recovery::new(&cx.config),
            timers: Timers::default(),
            options,
            error: None,
            soft_error: None,
            receive_shutdown: false,
            send_shutdown: false,
            eof: false,
            accepted: true,
            orphan: false,
            successor: None,
            last_oow_ack: None,
        }
    }

    /// Bytes of options in every segment: timestamps.
    pub(super) fn fixed_options(&self) -> u32 {
        if self.negotiated.timestamps.is_some() { TIMESTAMPS_ALIGNED } else { 0 }
    }

    /// When something has to be done next.
    pub(super) fn next_timer(&self) -> Instant {
        self.timers.next()
    }

    /// `snd.nxt`, `rcv.nxt` and the window that was promised, for what remains of the connection.
    pub(super) fn close_numbers(&self) -> (u32, u32, u32) {
        (self.snd.nxt, self.rcv.nxt, self.rcv.window())
    }

    /// What TCP_INFO shows.
    pub(super) fn info(&self) -> Info {
        let rtx = &self.snd.rtx;
        Info {
            state: self.state,
            ca_state: self.recovery.state,
            retransmits: self.recovery.retransmits,
            probes: self.recovery.probes_out,
            backoff: self.rtt.backoff,
            rto: self.rtt.rto,
            ato: self.delack.ato,
            snd_mss: self.snd.mss,
            rcv_mss: self.delack.rcv_mss,
            unacked: rtx.packets_out,
            sacked: rtx.sacked_out,
            lost: rtx.lost_out,
            retrans: rtx.retrans_out,
            cwnd: self.congestion.cwnd,
            ssthresh: self.congestion.ssthresh,
            pmtu: self.path.mtu,
            send_queue: self.snd.write_seq.wrapping_sub(self.snd.una),
            receive_queue: self.rcv.nxt.wrapping_sub(self.rcv.copied),
        }
    }
}
