//! `net.ipv4.conf.*`: the knobs of IPv4 by device (net/ipv4/devinet.c).

/// `net.ipv4.conf.DEV.*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DevConf {
    /// 0 no source validation, 1 strict, 2 loose (RFC 3704). Default 0; the larger of `all` and the device counts.
    pub rp_filter: i64,
    /// Forward packets received here. Default: `ip_forward`.
    pub forwarding: i64,
    /// Route 127/8. Default 0.
    pub route_localnet: i64,
    /// Accept packets with a local source address. Default 0.
    pub accept_local: i64,
    /// Send redirects. Default 1.
    pub send_redirects: i64,
    /// Follow redirects. Default 1.
    pub accept_redirects: i64,
    /// Several networks share the link, so a redirect may name a gateway of any of them. Default 1.
    pub shared_media: i64,
    /// Redirects may name only gateways of routes, if the link is not shared. Default 1.
    pub secure_redirects: i64,
    /// Answer ARP for routed addresses. Default 0.
    pub proxy_arp: i64,
    /// 0 answer ARP for every local address, 1 only for those of the device. Default 0.
    pub arp_ignore: i64,
    /// Announce the addresses of a device that comes up or changes its hardware address. Default 0.
    pub arp_notify: i64,
}

impl Default for DevConf {
    fn default() -> Self {
        Self {
            rp_filter: 0,
            forwarding: 0,
            route_localnet: 0,
            accept_local: 0,
            send_redirects: 1,
            accept_redirects: 1,
            shared_media: 1,
            secure_redirects: 1,
            proxy_arp: 0,
            arp_ignore: 0,
            arp_notify: 0,
        }
    }
}

impl DevConf {
    pub(super) fn knob(&mut self, name: &str) -> Option<&mut i64> {
        Some(match name {
            "rp_filter" => &mut self.rp_filter,
            "forwarding" => &mut self.forwarding,
            "route_localnet" => &mut self.route_localnet,
            "accept_local" => &mut self.accept_local,
            "send_redirects" => &mut self.send_redirects,
            "accept_redirects" => &mut self.accept_redirects,
            "shared_media" => &mut self.shared_media,
            "secure_redirects" => &mut self.secure_redirects,
            "proxy_arp" => &mut self.proxy_arp,
            "arp_ignore" => &mut self.arp_ignore,
            "arp_notify" => &mut self.arp_notify,
            _ => return None,
        })
    }
}
