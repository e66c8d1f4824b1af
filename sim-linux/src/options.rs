//! Socket options that `nix` does not name.

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// What a socket does about the path MTU (ip(7)).
    IpMtuDiscover, SetOnly, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::c_int);
sockopt_impl!(
    /// The same for IPv6 (ipv6(7)).
    Ipv6MtuDiscover, SetOnly, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::c_int);
sockopt_impl!(
    /// Whether acknowledgments are sent at once (tcp(7)).
    TcpQuickAck, Both, libc::IPPROTO_TCP, libc::TCP_QUICKACK, bool);
sockopt_impl!(
    /// Which form a packet ring has (packet(7)).
    PacketVersion, SetOnly, libc::SOL_PACKET, libc::PACKET_VERSION, libc::c_int);
sockopt_impl!(
    /// The ring that packets are copied to (packet(7)).
    PacketRxRing, SetOnly, libc::SOL_PACKET, libc::PACKET_RX_RING, libc::tpacket_req);
