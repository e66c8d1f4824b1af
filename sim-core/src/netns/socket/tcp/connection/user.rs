//! What the application calls on a connection (net/ipv4/tcp.c).

use std::net::Shutdown;

use bytes::Bytes;

use super::output::{Amount, Nagle};
use super::{Connection, State};
use crate::engine::errno::Errno;
use crate::engine::mutant::Mutant;
use crate::engine::time::Duration;
use crate::netns::socket::tcp::congestion::INITIAL_WINDOW;
use crate::netns::socket::tcp::context::{Context, Wake};
use crate::netns::socket::tcp::time_wait::{TIME_WAIT_LENGTH, TimeWait};

/// Memory of a segment besides its data (`tcp_sndbuf_expand`): headers and shared info; skb.
const SEGMENT_OVERHEAD: u32 = 256 + 320;
const PACKET_OVERHEAD: u32 = 256;

impl Connection {
    /// Writes `data`; how many bytes were taken (`tcp_sendmsg_locked`).
    pub(in super::super) fn send(&mut self, cx: &mut Context, data: &[u8]) -> Result<usize, Errno> {
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        if self.send_shutdown {
            return Err(Errno::EPIPE);
        }
        match self.state {
            State::Established | State::CloseWait => {}
            // `sk_stream_wait_connect`
            State::SynSent | State::SynReceived => return Err(Errno::EAGAIN),
            _ => return Err(Errno::EPIPE),
        }
        if self.snd.rtx.is_empty() {
            self.restart_after_idle(cx);
        }
        let taken = self.write(cx, data);
        if taken == 0 {
            return if data.is_empty() { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        self.mark_push();
        self.push_pending(cx);
        Ok(taken)
    }

    /// Fills packets, of which the first leaves when it is full; how many bytes there was room for.
    fn write(&mut self, cx: &mut Context, data: &[u8]) -> usize {
        let mss = self.current_mss();
        let goal = self.size_goal(mss);
        let mut taken = 0;
        while taken < data.len() {
            if self.snd.unsent.room(goal) == 0 {
                if !self.has_memory(0) {
                    self.snd.no_space = true;
                    if taken > 0 {
                        self.mark_push();
                        self.push_with(cx, Nagle::Off);
                    }
                    break;
                }
                self.snd.unsent.begin();
            }
            let room = self.snd.unsent.room(goal) as usize;
            let part = &data[taken..data.len().min(taken + room)];
            self.snd.buffer.append(part);
            self.snd.unsent.extend(part.len() as u32, taken == 0);
            self.snd.write_seq = self.snd.write_seq.wrapping_add(part.len() as u32);
            taken += part.len();
            if taken == data.len() || part.len() < room {
                break;
            }
            if self.push_is_forced() {
                self.mark_push();
                self.push_with(cx, Nagle::Off);
            } else if self.snd.unsent.len() == 1 {
                self.write_xmit(cx, mss, Nagle::Off, Amount::One);
            }
        }
        taken
    }

    /// Whether another packet may be made (`__sk_stream_memory_free`); who would be woken for it sees what waits
    /// doubled, `1 << wake`.
    fn has_memory(&self, wake: u32) -> bool {
        let unsent = self.snd.write_seq.wrapping_sub(self.snd.nxt);
        self.snd.memory() < self.snd.buffer_size
            && self.options.notsent_lowat.is_none_or(|most| u64::from(unsent) << wake < u64::from(most))
    }

    /// Reads up to `max` bytes; none at the end of what the peer sent (`tcp_recvmsg_locked`).
    pub(in super::super) fn recv(&mut self, cx: &mut Context, max: usize) -> Result<Bytes, Errno> {
        let data = self.rcv.read(max);
        if self.eof && self.rcv.readable() == 0 {
            self.rcv.copied = self.rcv.nxt;
        }
        if !data.is_empty() || max == 0 {
            self.adjust_buffer(cx);
            self.after_read(cx, data.len());
            return Ok(data);
        }
        if self.eof {
            return Ok(data);
        }
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        // What is closed for whatever reason has nothing more to be read (`tcp_done` shuts both sides).
        match self.state {
            _ if self.receive_shutdown => Ok(data),
            State::Closed => Err(Errno::ENOTCONN),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Ends reading, or writing with a FIN after what was written, or both (`inet_shutdown`, `tcp_shutdown`).
    pub(in super::super) fn shutdown(&mut self, cx: &mut Context, how: Shutdown) -> Result<(), Errno> {
        match self.state {
            State::Closed | State::TimeWait | State::Listen => return Err(Errno::ENOTCONN),
            State::SynSent => self.disconnect(cx),
            _ => {
                self.receive_shutdown |= how != Shutdown::Write;
                if how != Shutdown::Read {
                    self.send_shutdown = true;
                    self.send_fin(cx);
                }
            }
        }
        if how != Shutdown::Write {
            cx.wake(self.id, Wake::Readable);
        }
        Ok(())
    }

    /// shutdown() of what is not connected yet: it is a new socket again, but for the error (`tcp_disconnect`).
    fn disconnect(&mut self, cx: &mut Context) {
        self.close_down(cx);
        (self.receive_shutdown, self.send_shutdown) = (false, false);
        self.error = Some(Errno::ECONNRESET);
    }

    /// The state after close() or shutdown(), and the FIN if there has to be one (`tcp_close_state`, `tcp_send_fin`).
    fn send_fin(&mut self, cx: &mut Context) {
        self.state = match self.state {
            State::SynReceived | State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            _ => return,
        };
        self.snd.fin_queued = true;
        self.snd.write_seq = self.snd.write_seq.wrapping_add(1);
        self.push_with(cx, Nagle::Off);
    }

    /// close(): the application is gone, the connection ends in good order if it can (`__tcp_close`).
    pub(in super::super) fn close(&mut self, cx: &mut Context) {
        let unread = self.rcv.readable() > 0 && !cx.planted.is(Mutant::TcpUnreadForgotten);
        self.orphan = true;
        if self.state == State::Closed {
            return;
        }
        if unread {
            // RFC 2525 2.17: data was lost, the peer must know.
            cx.count("TCPAbortOnClose");
            self.rcv.discard_unread();
            self.send_reset(cx);
            return self.close_down(cx);
        }
        if self.state == State::SynSent {
            return self.close_down(cx);
        }
        self.receive_shutdown = true;
        self.send_shutdown = true;
        self.send_fin(cx);
        if self.state == State::FinWait2 {
            let timeout = self.fin_timeout(cx);
            if timeout > TIME_WAIT_LENGTH {
                self.timers.keepalive = Some(cx.now + (timeout - TIME_WAIT_LENGTH));
            } else {
                self.wait_for_fin(cx, timeout);
            }
        }
    }

    /// close() with SO_LINGER 0: RST instead of FIN (`tcp_disconnect`).
    pub(in super::super) fn abort(&mut self, cx: &mut Context) {
        if self.state == State::Closed || self.rcv.readable() > 0 {
            return self.close(cx);
        }
        self.orphan = true;
        cx.count("TCPAbortOnData");
        let unsent_close = self.snd.has_unsent() && matches!(self.state, State::Closing | State::LastAck);
        let open = matches!(
            self.state,
            State::Established | State::CloseWait | State::FinWait1 | State::FinWait2 | State::SynReceived
        );
        if open || unsent_close {
            self.send_reset(cx);
        }
        self.close_down(cx);
    }

    /// SO_ERROR: reads and clears.
    pub(in super::super) fn take_error(&mut self) -> Option<Errno> {
        self.error.take().or_else(|| self.soft_error.take())
    }

    /// Both FINs are acknowledged: TIME-WAIT takes the connection's place (`tcp_time_wait`).
    pub(super) fn enter_time_wait(&mut self, cx: &mut Context) {
        self.leave(cx, State::TimeWait, TIME_WAIT_LENGTH);
    }

    /// An orphan waits for the FIN without the weight of a connection.
    pub(super) fn wait_for_fin(&mut self, cx: &mut Context, timeout: Duration) {
        self.leave(cx, State::FinWait2, timeout);
    }

    /// Leaves what is to answer latecomers for so long (`inet_twsk_schedule`).
    fn leave(&mut self, cx: &mut Context, state: State, lasts: Duration) {
        self.successor = Some(TimeWait::new(self, state, cx.now, lasts));
        self.close_down(cx);
    }

    /// After an idle RTO the window starts anew (`tcp_slow_start_after_idle_check`).
    pub(super) fn restart_after_idle(&mut self, cx: &Context) {
        let idle = cx.now.since(self.snd.last_data);
        if cx.config.slow_start_after_idle && self.snd.rtx.is_empty() && idle > self.rtt.rto {
            self.congestion.restart(cx.now, idle, self.rtt.rto);
        }
    }

    /// Room for two windows of data (`tcp_sndbuf_expand`).
    pub(super) fn expand_send_buffer(&mut self, cx: &Context) {
        if let Some(fixed) = self.options.sndbuf {
            self.snd.buffer_size = fixed.saturating_mul(2);
            return;
        }
        let segment =
            (self.negotiated.mss_clamp.max(self.snd.mss) + SEGMENT_OVERHEAD).next_power_of_two() + PACKET_OVERHEAD;
        let segments = self.congestion.cwnd.max(INITIAL_WINDOW).max(self.recovery.reordering + 1);
        let wanted = segment.saturating_mul(2 * segments).min(cx.config.wmem[2]);
        self.snd.buffer_size = self.snd.buffer_size.max(wanted);
    }

    /// Whether poll() says that there is room: a third of the buffer, and little that waits (`sk_stream_is_writeable`).
    pub(in super::super) fn has_space(&self) -> bool {
        let used = self.snd.memory();
        self.snd.buffer_size.saturating_sub(used) >= used >> 1 && self.has_memory(1)
    }

    /// Something was acknowledged: the buffer may grow, and who waits for room is woken (`tcp_check_space`).
    pub(super) fn check_space(&mut self, cx: &mut Context) {
        if self.snd.no_space {
            if self.snd.rtx.in_flight() < self.congestion.cwnd {
                self.expand_send_buffer(cx);
            }
            if self.has_space() && !self.orphan {
                self.snd.no_space = false;
                cx.wake(self.id, Wake::Writable);
            }
        }
    }

    /// SO_KEEPALIVE was switched (`tcp_set_keepalive`).
    pub(in super::super) fn keepalive_changed(&mut self, cx: &Context) {
        let running = self.options.keepalive && !matches!(self.state, State::Closed | State::SynSent);
        self.timers.keepalive = running.then(|| cx.now + self.keepalive_time(cx));
    }

    /// SO_RCVBUF was set.
    pub(in super::super) fn receive_buffer_changed(&mut self, cx: &Context) {
        if let Some(wanted) = self.options.rcvbuf {
            self.rcv.fix_buffer(wanted, &cx.config);
        }
    }

    /// TCP_NODELAY was set or TCP_CORK taken away: what was held back may go.
    pub(in super::super) fn uncork(&mut self, cx: &mut Context) {
        let nagle = if self.options.nodelay { Nagle::Off } else { self.nagle() };
        self.push_with(cx, nagle);
    }
}
