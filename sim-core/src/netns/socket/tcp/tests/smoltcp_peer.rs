//! smoltcp, which others wrote, as the peer: real bytes over a wire that may lose some.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address};

use super::super::*;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};
use crate::wire::build;
use crate::wire::ip::{IpHeader, TCP};
use crate::wire::l4;
use crate::wire::packet::PacketId;

const OURS: [u8; 4] = [10, 0, 0, 1];
const THEIRS: [u8; 4] = [10, 0, 0, 2];

/// The device of smoltcp: packets in, packets out.
#[derive(Default)]
struct Queues {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.rx.pop_front()?), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

struct Pair {
    now: Instant,
    table: TcpTable,
    device: Queues,
    interface: Interface,
    sockets: SocketSet<'static>,
    theirs: SocketHandle,
    rng: Stream,
    /// Per mille.
    loss: u32,
}

impl Pair {
    fn new(seed: u64, loss: u32) -> Self {
        let mut device = Queues::default();
        let start = smoltcp::time::Instant::from_micros(0);
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, start);
        interface.update_ip_addrs(|addrs| {
            addrs.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).expect("room for an address");
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 65_536]);
        let mut sockets = SocketSet::new(Vec::new());
        let theirs = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let table = TcpTable::new(TcpConfig::default(), SocketId(0), Seed(seed).stream("tcp", 0));
        let rng = Seed(seed).stream("wire", 0);
        Self { now: Instant::START, table, device, interface, sockets, theirs, rng, loss }
    }

    fn their_socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.theirs)
    }

    fn their_time(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros((self.now.as_nanos() / 1000) as i64)
    }

    fn arrives(&mut self) -> bool {
        self.rng.below(1000) >= self.loss
    }

    /// Carries what both sides have to send, then lets time pass to the next timer, a tenth of a second at most.
    fn step(&mut self) {
        loop {
            while let Some(out) = self.table.poll_output() {
                let s = &out.segment;
                let ip = IpHeader::new(s.src.ip(), s.dst.ip(), TCP, 1);
                let packet = build::tcp(PacketId(0), ip, s.header(), &s.options.to_bytes(), &s.payload);
                if self.arrives() {
                    self.device.rx.push_back(packet.l3().to_vec());
                }
            }
            let time = self.their_time();
            self.interface.poll(time, &mut self.device, &mut self.sockets);
            if self.device.tx.is_empty() {
                break;
            }
            while let Some(packet) = self.device.tx.pop_front() {
                if self.arrives() {
                    assert!(l4::checksum_ok(THEIRS.into(), OURS.into(), TCP, &packet[20..]));
                    let segment = Segment::parse(THEIRS.into(), OURS.into(), &packet[20..]).expect("a segment");
                    self.table.on_segment(self.now, &segment, Path::new(1500));
                }
            }
        }
        let theirs = self.interface.poll_at(self.their_time(), &self.sockets);
        let theirs = theirs.map_or(Instant::NEVER, |at| Instant::from_nanos(at.total_micros() as u64 * 1000));
        let at = theirs.min(self.table.next_timer()).min(self.now + Duration::from_millis(100));
        self.now = at.max(self.now + Duration::from_micros(10));
        self.table.on_timer(self.now);
    }
}

/// Both send `size` bytes and close; what arrives is what was sent.
fn exchange(seed: u64, loss: u32, size: usize, we_connect: bool) {
    let data: Vec<u8> = (0..size).map(|n| (n * 13 + n / 256) as u8).collect();
    let mut p = Pair::new(seed, loss);
    let mut ours = None;
    let listener =
        p.table.listen("0.0.0.0:80".parse().expect("an address"), 8, SocketOptions::default()).expect("free");
    if we_connect {
        p.their_socket().listen(81).expect("a port");
        let (local, remote): (SocketAddr, SocketAddr) = ((OURS, 0).into(), (THEIRS, 81).into());
        ours = p.table.connect(p.now, local, remote, Path::new(1500), SocketOptions::default()).ok();
    } else {
        let remote = (IpAddress::from(Ipv4Address::from(OURS)), 80);
        let context = p.interface.context();
        p.sockets.get_mut::<tcp::Socket>(p.theirs).connect(context, remote, 5000).expect("connecting");
    }
    let (mut sent, mut received, mut eof) = ([0, 0], [Vec::new(), Vec::new()], false);
    for _ in 0..400_000 {
        p.step();
        ours = ours.or_else(|| p.table.accept(listener).map(|(id, _)| id));
        let Some(id) = ours else { continue };
        if sent[0] < size
            && let Ok(n) = p.table.send(p.now, id, &data[sent[0]..])
        {
            sent[0] += n;
            if sent[0] == size {
                p.table.shutdown(p.now, id, Shutdown::Write).expect("connected");
            }
        }
        match p.table.recv(p.now, id, 5000) {
            Ok(bytes) if bytes.is_empty() => eof = true,
            Ok(bytes) => received[0].extend_from_slice(&bytes),
            Err(e) => assert_eq!(e, Errno::EAGAIN),
        }
        let socket = p.their_socket();
        if sent[1] < size && socket.can_send() {
            sent[1] += socket.send_slice(&data[sent[1]..]).expect("room");
            if sent[1] == size {
                socket.close();
            }
        }
        if socket.can_recv() {
            let chunk = socket.recv(|b| (b.len(), b.to_vec())).expect("data");
            received[1].extend(chunk);
        }
        if eof && received[1].len() == size {
            break;
        }
    }
    assert!(received[0] == data, "we have {} of {size}", received[0].len());
    assert!(received[1] == data, "they have {} of {size}", received[1].len());
}

#[test]
fn smoltcp_connects_to_us_and_both_get_everything() {
    exchange(1, 0, 300_000, false);
}

#[test]
fn we_connect_to_smoltcp_and_both_get_everything() {
    exchange(2, 0, 300_000, true);
}

#[test]
fn a_lossy_wire_between_us_and_smoltcp_loses_no_data() {
    for seed in 0..8 {
        exchange(seed, 20 + 20 * (seed as u32 % 4), 60_000, seed % 2 == 0);
    }
}
