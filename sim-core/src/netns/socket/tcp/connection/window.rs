//! The window that is announced: chosen at the SYN, opened by reading, never taken back (RFC 9293 3.8.6).

use super::super::config::TcpConfig;
use super::super::congestion::INITIAL_WINDOW;
use super::super::context::Context;
use super::super::segment::Segment;
use super::Connection;
use super::receive::Receiver;
use super::receive_queue::Charge;

/// The windows a connection starts with (`tcp_select_initial_window`).
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct InitialWindow {
    /// Bytes announced in the SYN.
    pub(in super::super) window: u32,
    /// Scale to announce.
    pub(in super::super) scale: u8,
    pub(in super::super) clamp: u32,
}

/// Whole segments of `mss` that fit the receive buffer, and the scale that the buffer may ever need (fact 86).
pub(in super::super) fn initial_window(rcv: &Receiver, config: &TcpConfig, mss: u32, scaling: bool) -> InitialWindow {
    let space = rcv.window_from(rcv.buffer_size);
    let window = if space > mss { space / mss.max(1) * mss } else { space };
    if !scaling {
        return InitialWindow { window: window.min(u32::from(u16::MAX)), scale: 0, clamp: u32::from(u16::MAX) };
    }
    let mut most = space.max(config.rmem[2]).max(config.rmem_max);
    if rcv.buffer_locked {
        most = space;
    }
    let scale = most.checked_ilog2().unwrap_or(0).saturating_sub(15).min(14) as u8;
    InitialWindow { window, scale, clamp: most.min(u32::from(u16::MAX) << scale) }
}

impl Connection {
    /// Takes over the initial windows.
    pub(super) fn start_window(&mut self, initial: InitialWindow) {
        self.rcv.wnd = initial.window;
        self.rcv.ssthresh = initial.window;
        self.rcv.window_clamp = initial.clamp;
    }

    /// Keeps room for one segment more than is announced (`tcp_init_buffer_space`, tcp_app_win 31).
    pub(super) fn reserve_window(&mut self) {
        let (space, mss) = (self.rcv.window_from(self.rcv.buffer_size), self.negotiated.advmss);
        let mut clamp = self.rcv.window_clamp.min(space);
        if clamp > 2 * mss && clamp + mss > space {
            clamp = (2 * mss).max(space.saturating_sub(mss));
        }
        self.rcv.window_clamp = clamp;
        self.rcv.ssthresh = self.rcv.ssthresh.min(clamp);
        self.rcv.round.space = self.rcv.ssthresh.min(self.rcv.wnd).min(INITIAL_WINDOW * mss);
    }

    /// The window the buffer allows now; who looks while memory is short stops acknowledging at once
    /// (`__tcp_select_window`).
    pub(super) fn new_window(&mut self) -> u32 {
        let rcv = &self.rcv;
        let scale = self.negotiated.rcv_wscale;
        let allowed = rcv.window_from(rcv.buffer_size);
        let full = rcv.window_clamp.min(allowed);
        let mss = self.delack.rcv_mss.min(full);
        if mss == 0 {
            return 0;
        }
        let mut free = rcv.free_window();
        if free < full >> 1 {
            self.delack.quick = 0;
            free = free >> scale << scale;
            if free < allowed >> 4 || free < mss {
                return 0;
            }
        }
        free = free.min(rcv.ssthresh);
        if scale > 0 {
            return free.next_multiple_of(1 << scale);
        }
        // Without scaling the window moves by whole segments, against silly windows (RFC 1122 4.2.3.3).
        let window = rcv.wnd;
        if window <= free.saturating_sub(mss) || window > free {
            free / mss * mss
        } else if mss == full && free > window + (full >> 1) {
            free
        } else {
            window
        }
    }

    /// Chooses the window field of the next segment and remembers what it promises (`tcp_select_window`).
    pub(super) fn select_window(&mut self, cx: &mut Context) -> u16 {
        let scale = self.negotiated.rcv_wscale;
        let current = self.rcv.window();
        let mut window = self.new_window();
        if window < current {
            if window == 0 {
                cx.count("TCPWantZeroWindowAdv");
            }
            window = current.next_multiple_of(1 << scale);
        }
        match (self.rcv.wnd, window) {
            (1.., 0) => cx.count("TCPToZeroWindowAdv"),
            (0, 1..) => cx.count("TCPFromZeroWindowAdv"),
            _ => {}
        }
        self.rcv.predicts &= window > 0;
        self.rcv.wnd = window;
        self.rcv.wup = self.rcv.nxt;
        (window >> scale).min(u32::from(u16::MAX)) as u16
    }

    /// Data came, beside which memory for a window of `free` is left: may more be announced
    /// (`tcp_grow_window`)?
    pub(super) fn grow_window(&mut self, cx: &Context, segment: &Segment, free: u32) {
        let (len, memory) = (segment.payload.len() as u32, Charge::of(segment).memory);
        let rcv = &self.rcv;
        let room = rcv.window_clamp.min(free).saturating_sub(rcv.ssthresh);
        if room == 0 {
            return;
        }
        let more =
            if rcv.window_from(memory) <= len { 2 * self.negotiated.advmss } else { self.grow_slowly(cx, len, memory) };
        if more > 0 {
            self.rcv.ssthresh += room.min(more.max(2 * len));
            self.delack.quick |= 1;
        }
    }

    /// Small segments waste memory: growth only while the window is small against the buffer (`__tcp_grow_window`).
    fn grow_slowly(&self, cx: &Context, len: u32, memory: u32) -> u32 {
        let mut size = self.rcv.window_from(memory) >> 1;
        let mut window = self.rcv.window_from(cx.config.rmem[2]) >> 1;
        while self.rcv.ssthresh <= window {
            if size <= len {
                return 2 * self.delack.rcv_mss;
            }
            size >>= 1;
            window >>= 1;
        }
        0
    }
}
