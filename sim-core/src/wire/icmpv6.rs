//! Message types and codes of ICMP for IPv6 (RFC 4443, RFC 4861, RFC 2710, RFC 3810, RFC 4620).

/// Destination unreachable.
pub const DEST_UNREACH: u8 = 1;
/// Packet too big.
pub const TOO_BIG: u8 = 2;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Echo request; types below this are errors.
pub const ECHO: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Multicast listener query.
pub const MLD_QUERY: u8 = 130;
/// Multicast listener report.
pub const MLD_REPORT: u8 = 131;
/// Multicast listener done.
pub const MLD_DONE: u8 = 132;
/// Router solicitation.
pub const ROUTER_SOLICIT: u8 = 133;
/// Router advertisement.
pub const ROUTER_ADVERT: u8 = 134;
/// Neighbour solicitation.
pub const NEIGH_SOLICIT: u8 = 135;
/// Neighbour advertisement.
pub const NEIGH_ADVERT: u8 = 136;
/// Redirect.
pub const REDIRECT: u8 = 137;
/// Node information query.
pub const NI_QUERY: u8 = 139;
/// Node information reply.
pub const NI_REPLY: u8 = 140;
/// Multicast listener report, version 2.
pub const MLD2_REPORT: u8 = 143;

/// Code of [`DEST_UNREACH`]: no route.
pub const NO_ROUTE: u8 = 0;
/// Code of [`DEST_UNREACH`]: administratively prohibited.
pub const ADM_PROHIBITED: u8 = 1;
/// Code of [`DEST_UNREACH`]: beyond the scope of the source address.
pub const BEYOND_SCOPE: u8 = 2;
/// Code of [`DEST_UNREACH`]: the neighbour does not answer.
pub const ADDR_UNREACH: u8 = 3;
/// Code of [`DEST_UNREACH`]: nobody listens on the port.
pub const PORT_UNREACH: u8 = 4;
/// Code of [`DEST_UNREACH`]: the source address failed a policy.
pub const POLICY_FAIL: u8 = 5;
/// Code of [`DEST_UNREACH`]: a route rejects it.
pub const REJECT_ROUTE: u8 = 6;

/// Code of [`PARAMETER_PROBLEM`]: a field says what cannot be.
pub const HEADER_FIELD: u8 = 0;
/// Code of [`PARAMETER_PROBLEM`]: unknown next header.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;
/// Code of [`PARAMETER_PROBLEM`]: unknown option.
pub const UNKNOWN_OPTION: u8 = 2;
/// Code of [`PARAMETER_PROBLEM`]: the first fragment ends within the headers (RFC 7112).
pub const HEADER_INCOMPLETE: u8 = 3;
