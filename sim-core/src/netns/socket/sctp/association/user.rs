//! What the application does with its socket (net/sctp/socket.c).

use super::{Association, Message, State};
use crate::engine::errno::Errno;
use crate::netns::socket::sctp::config::SEND_BUFFER;
use crate::netns::socket::sctp::context::Context;
use crate::netns::socket::sctp::init::parameter;
use crate::wire::sctp::ABORT;

/// Error cause "user-initiated abort".
const USER_ABORT: u16 = 12;

impl Association {
    /// Queues a message (`sctp_sendmsg`).
    pub(in super::super) fn send(&mut self, cx: &mut Context, stream: u16, data: &[u8]) -> Result<(), Errno> {
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        match self.state {
            State::ShutdownReceived | State::ShutdownAckSent if !self.write_closed => return Err(Errno::ESHUTDOWN),
            State::CookieWait | State::CookieEchoed | State::Established if !self.write_closed => {}
            _ => return Err(Errno::EPIPE),
        }
        let told = !matches!(self.state, State::CookieWait);
        if data.is_empty() || (told && stream >= self.streams()) || (!told && stream >= self.own.out_streams) {
            return Err(Errno::EINVAL);
        }
        if data.len() > SEND_BUFFER {
            return Err(Errno::EMSGSIZE);
        }
        if !self.outbound.has_room() {
            return Err(Errno::EAGAIN);
        }
        self.outbound.write(stream, data, self.room());
        self.go_on(cx);
        Ok(())
    }

    /// The oldest message; `None` is the end (`sctp_recvmsg`).
    pub(in super::super) fn recv(&mut self, cx: &mut Context) -> Result<Option<Message>, Errno> {
        if let Some((message, wider)) = self.inbound.read(self.path_mtu) {
            if wider && matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownSent) {
                let sack = self.inbound.sack();
                self.control.push(sack);
                self.go_on(cx);
            }
            return Ok(Some(message));
        }
        if let Some(errno) = self.error.take() {
            return Err(errno);
        }
        match self.state {
            _ if self.read_closed => Ok(None),
            State::CookieWait | State::CookieEchoed => Err(Errno::ENOTCONN),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// shutdown(SHUT_WR): there is no half-closed association; the peer will send no more than it has queued.
    pub(in super::super) fn shutdown(&mut self, cx: &mut Context) -> Result<(), Errno> {
        match self.state {
            State::Established => self.state = State::ShutdownPending,
            State::CookieWait | State::CookieEchoed | State::Closed => return Err(Errno::ENOTCONN),
            _ => {}
        }
        self.write_closed = true;
        self.go_on(cx);
        Ok(())
    }

    /// close(): in good order, unless something is unread or nothing has begun (`sctp_close`).
    pub(in super::super) fn close(&mut self, cx: &mut Context) {
        self.orphan = true;
        if self.inbound.is_readable() || self.inbound.has_parts() {
            return self.abort(cx);
        }
        match self.state {
            State::CookieWait | State::CookieEchoed => self.end(cx, None),
            State::Closed => {}
            _ => {
                let _ = self.shutdown(cx);
            }
        }
    }

    /// close() with SO_LINGER 0: the peer gets ABORT (`sctp_sf_do_9_1_prm_abort`).
    pub(in super::super) fn abort(&mut self, cx: &mut Context) {
        self.orphan = true;
        if self.state == State::Closed {
            return;
        }
        if self.state != State::CookieWait {
            let mut cause = Vec::new();
            parameter(&mut cause, USER_ABORT, &[]);
            self.send_alone(cx, ABORT, 0, self.peer.tag, &cause);
        }
        self.end(cx, Some(Errno::ECONNABORTED));
    }

    /// SO_ERROR; reading clears it.
    pub(in super::super) fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    /// Whether a read gives something, if only the end.
    pub(in super::super) fn is_readable(&self) -> bool {
        self.inbound.is_readable() || self.read_closed || self.error.is_some()
    }

    /// Whether the association is there and takes a message.
    pub(in super::super) fn is_writable(&self) -> bool {
        self.state == State::Established && self.outbound.has_room()
    }

    /// Bytes that wait to be read, and bytes that are not acknowledged.
    pub(in super::super) fn queues(&self) -> (u32, u32) {
        (self.inbound.unread() as u32, self.outbound.unsent() as u32)
    }
}
