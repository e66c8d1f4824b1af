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
    TcpQuickAck, SetOnly, libc::IPPROTO_TCP, libc::TCP_QUICKACK, bool);
sockopt_impl!(
    /// Which form a packet ring has (packet(7)).
    PacketVersion, SetOnly, libc::SOL_PACKET, libc::PACKET_VERSION, libc::c_int);
sockopt_impl!(
    /// The ring that packets are copied to (packet(7)).
    PacketRxRing, SetOnly, libc::SOL_PACKET, libc::PACKET_RX_RING, libc::tpacket_req);
sockopt_impl!(
    /// Whether partial segments wait (tcp(7)).
    TcpCork, SetOnly, libc::IPPROTO_TCP, libc::TCP_CORK, bool);
sockopt_impl!(
    /// How long a connection waits for data before it can be accepted, in seconds (tcp(7)).
    TcpDeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, libc::c_int);
sockopt_impl!(
    /// How long FIN_WAIT2 lasts, in seconds (tcp(7)).
    TcpLinger2, SetOnly, libc::IPPROTO_TCP, libc::TCP_LINGER2, libc::c_int);
sockopt_impl!(
    /// How often a SYN is repeated (tcp(7)).
    TcpSynCount, SetOnly, libc::IPPROTO_TCP, libc::TCP_SYNCNT, libc::c_int);
sockopt_impl!(
    /// The largest segment, in bytes (tcp(7)).
    TcpMaxSegment, SetOnly, libc::IPPROTO_TCP, libc::TCP_MAXSEG, libc::c_int);
sockopt_impl!(
    /// How much may wait unsent before the socket is no longer writable, in bytes (tcp(7)).
    TcpNotSentLowat, SetOnly, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, libc::c_int);
sockopt_impl!(
    /// What the kernel knows about a connection (tcp(7)).
    TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, libc::tcp_info);
