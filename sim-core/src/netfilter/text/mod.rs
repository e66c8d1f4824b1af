//! iptables-save text.
