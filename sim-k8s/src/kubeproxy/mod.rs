//! kube-proxy: Services and EndpointSlices in, iptables-restore text out.
