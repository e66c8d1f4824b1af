//! The first packet of a flow, and who sends it.

use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::wire::eth::EthHeader;
use sim_core::wire::ip::{self, Family, IpHeader};
use sim_core::wire::l4::{SYN, TcpHeader};
use sim_core::wire::packet::PacketId;
use sim_core::wire::{build, checksum};
use sim_core::world::World;
use sim_k8s::api::Protocol;

/// The source port of every flow.
pub(super) const SRC_PORT: u16 = 40_000;

/// A first packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) src: IpAddr,
    pub(super) dst: SocketAddr,
    pub(super) protocol: Protocol,
}

impl First {
    /// Its L4 protocol number.
    pub(super) fn proto(&self) -> u8 {
        match self.protocol {
            Protocol::Tcp => ip::TCP,
            Protocol::Udp => ip::UDP,
            Protocol::Sctp => ip::SCTP,
        }
    }

    /// A process in `netns` sends it from its socket.
    pub(super) fn send_from_process(&self, world: &mut World, netns: NetnsId) -> Result<(), String> {
        let local = SocketAddr::new(self.src, SRC_PORT);
        let sent = match self.protocol {
            Protocol::Tcp => {
                world.tcp_connect(netns, local, self.dst, SocketOptions::default()).map(drop).map_err(|e| e.to_string())
            }
            Protocol::Udp => {
                let socket = world.udp_bind(netns, local, false).map_err(|e| e.to_string())?;
                match world.udp_send(netns, socket, Some(self.dst), b"flow") {
                    // OUTPUT dropped it: that is an answer, and the counters tell it.
                    Err(error) if error.errno == Some(Errno::EPERM) => Ok(()),
                    sent => sent.map_err(|e| format!("{e:?}")),
                }
            }
            Protocol::Sctp => world.sctp_connect(netns, local, self.dst).map(drop).map_err(|e| e.to_string()),
        };
        sent.map_err(|why| format!("a process of the node cannot send it: {why}"))
    }

    /// It leaves `from`'s eth0 as a frame to the hardware address of a device of the node.
    pub(super) fn send_from_netns(&self, world: &mut World, from: NetnsId, to: (NetnsId, &str)) -> Result<(), String> {
        let mac = |world: &World, netns: NetnsId, dev: &str| world.netns(netns).devs().by_name(dev).map(|d| d.mac);
        let dev = world.dev_id(from, "eth0").ok_or("the sender has no eth0")?;
        let (Some(src), Some(dst)) = (mac(world, from, "eth0"), mac(world, to.0, to.1)) else {
            return Err("a device is missing".into());
        };
        let mut frame = EthHeader { src, dst, ethertype: Family::of(self.src).ethertype() }.to_bytes().to_vec();
        frame.extend(self.l3());
        world.send_frame(from, dev, &frame);
        Ok(())
    }

    /// IP header and what begins a conversation: SYN, a datagram, INIT (RFC 9260 3.3.2).
    fn l3(&self) -> Vec<u8> {
        let header = IpHeader::new(self.src, self.dst.ip(), self.proto(), 0);
        let (id, port) = (PacketId(0), self.dst.port());
        let packet = match self.protocol {
            Protocol::Tcp => {
                let syn = TcpHeader { src: SRC_PORT, dst: port, flags: SYN, window: 65_535, ..TcpHeader::default() };
                build::tcp(id, header, syn, &[], &[])
            }
            Protocol::Udp => build::udp(id, header, SRC_PORT, port, b"flow"),
            Protocol::Sctp => build::ip(id, header, &sctp_init(port)),
        };
        packet.l3().to_vec()
    }
}

/// An INIT chunk: tag 1, window 65535, one stream each way, TSN 1. Conntrack looks at its checksum.
fn sctp_init(port: u16) -> Vec<u8> {
    let mut bytes = [SRC_PORT.to_be_bytes(), port.to_be_bytes()].concat();
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 20]);
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(65_535u32.to_be_bytes());
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(1u32.to_be_bytes());
    checksum::set_sctp_checksum(&mut bytes);
    bytes
}
