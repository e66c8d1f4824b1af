//! Rule traces, as the lab prints what `xtables-monitor --trace` says.

use sim_core::wire::ip::{IpHeader, TCP, UDP};
use sim_core::wire::l4::ports;

use super::bench::TraceLine;
use super::cluster::VXLAN_PORT;

/// One line of a trace.
pub fn line(line: &TraceLine) -> String {
    match line {
        TraceLine::Step(text) => text.clone(),
        TraceLine::Packet { l3, iif, oif, mark } => packet(l3, iif, oif, *mark),
    }
}

/// `@ SRC>DST in=DEV out=DEV ttl=N SPORT>DPORT mark=0xN`; ports and mark only where there are any.
fn packet(l3: &[u8], iif: &str, oif: &str, mark: u32) -> String {
    let Some(ip) = IpHeader::read(l3) else { return format!("@ ?>? in={iif} out={oif}") };
    let mut out = format!("@ {}>{} in={iif} out={oif} ttl={}", ip.src, ip.dst, ip.ttl);
    let l4 = l3.get(usize::from(ip.header_len)..).unwrap_or_default();
    let has_ports = matches!(ip.proto, TCP | UDP) && ip.frag_offset == 0;
    if let Some((src, dst)) = ports(ip.proto, l4).filter(|_| has_ports) {
        let src = if dst == VXLAN_PORT { "hash".into() } else { src.to_string() };
        out.push_str(&format!(" {src}>{dst}"));
    }
    if mark != 0 {
        out.push_str(&format!(" mark={mark:#x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::wire::build;
    use sim_core::wire::packet::PacketId;

    #[test]
    fn a_packet_is_told_as_in_the_goldens() {
        let header = IpHeader::new("10.244.1.2".parse().unwrap(), "10.96.0.10".parse().unwrap(), UDP, 0);
        let p = build::udp(PacketId(1), header, 40000, 53, b"hello");
        assert_eq!(packet(p.l3(), "cni0", "", 0), "@ 10.244.1.2>10.96.0.10 in=cni0 out= ttl=64 40000>53");
        let outer = build::udp(PacketId(1), header, 40000, 8472, b"");
        assert_eq!(
            packet(outer.l3(), "", "eth0", 0x4000),
            "@ 10.244.1.2>10.96.0.10 in= out=eth0 ttl=64 hash>8472 mark=0x4000"
        );
    }
}
