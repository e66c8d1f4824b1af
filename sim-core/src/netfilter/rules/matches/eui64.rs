//! `-m eui64` (net/ipv6/netfilter/ip6t_eui64.c, `eui64_mt6`): the source address ends as the hardware address says that
//! the packet came with.

use std::fmt;
use std::net::IpAddr;

use super::mac::check_received;
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;
use crate::wire::nd;

/// Whether source address and hardware address belong together. It has no options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Eui64;

impl Kind for Eui64 {
    const NAME: &'static str = "eui64";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn check(&self, _: &Selector, hooks: &[Hook]) -> Result<(), String> {
        check_received(hooks)
    }

    fn option(&mut self, _: &mut Given<'_, '_>) -> Result<bool, TextError> {
        Ok(false)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (IpAddr::V6(src), Some(mac)) = (question.packet.ip.src, question.packet.mac) else { return Answer::No };
        (src.octets()[8..] == nd::link_local(mac).octets()[8..]).into()
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
