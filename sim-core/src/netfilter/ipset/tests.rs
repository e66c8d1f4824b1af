//! Sets as `ipset` 7.17 on Linux 6.18 was seen to treat them.

use std::net::IpAddr;

use super::ask::{Asking, Count, Sides, Subject};
use super::words::{Command, Form};
use super::{IpSets, SetError};
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::{ICMP, TCP, UDP};

/// The sets of a netns, a clock, and the names that rules use.
struct Bench {
    sets: IpSets,
    now: Instant,
    ruled: Vec<&'static str>,
}

impl Bench {
    /// Makes sets by the words of commands, which must all be done.
    fn new(commands: &[&str]) -> Self {
        let mut bench = Self { sets: IpSets::default(), now: Instant::START, ruled: Vec::new() };
        for command in commands {
            assert_eq!(bench.say(command), "", "{command}");
        }
        bench
    }

    /// What a command complains of; nothing if it is done.
    fn say(&mut self, line: &str) -> String {
        match self.run(line) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        }
    }

    fn run(&mut self, line: &str) -> Result<Vec<String>, SetError> {
        let Some(command) = Command::read_line(line, false)? else { return Ok(Vec::new()) };
        self.sets.apply(&command, self.now, &|name| self.ruled.contains(&name)).map(|told| told.lines)
    }

    fn members(&mut self, set: &str) -> Vec<String> {
        let lines = self.run(&format!("list {set}")).unwrap();
        lines.into_iter().skip_while(|line| line != "Members:").skip(1).collect()
    }

    fn has(&mut self, set: &str, sides: &str, packet: &Packet) -> bool {
        self.asks(set, sides, packet, Asking::default())
    }

    fn asks(&mut self, set: &str, sides: &str, packet: &Packet, asking: Asking) -> bool {
        let sides = Sides::read(sides).unwrap();
        self.sets.test(set, sides, &packet.subject(self.now), asking)
    }
}

struct Packet {
    ends: [IpAddr; 2],
    proto: u8,
    later_fragment: bool,
    l4: Vec<u8>,
}

impl Packet {
    fn new(src: &str, dst: &str, proto: u8, ports: [u16; 2]) -> Self {
        let l4 = ports.into_iter().flat_map(u16::to_be_bytes).collect();
        Self { ends: [src.parse().unwrap(), dst.parse().unwrap()], proto, later_fragment: false, l4 }
    }

    fn subject(&self, now: Instant) -> Subject<'_> {
        let ([src, dst], later_fragment) = (self.ends, self.later_fragment);
        Subject { src, dst, proto: self.proto, later_fragment, l4: &self.l4, len: 30, now }
    }
}

fn datagram(src: &str, dst: &str) -> Packet {
    Packet::new(src, dst, UDP, [40_000, 53])
}

#[test]
fn a_range_is_added_up_to_the_first_address_that_is_there() {
    let mut b = Bench::new(&["create h hash:ip", "add h 10.0.0.2"]);
    assert_eq!(b.say("add h 10.0.0.0/30"), "Element cannot be added to the set: it's already added");
    assert_eq!(b.members("h"), ["10.0.0.0", "10.0.0.1", "10.0.0.2"]);
    assert_eq!(b.say("add h 10.0.0.0/30 -exist"), "");
    assert_eq!(b.say("del h 10.0.0.2-10.0.0.3"), "");
    assert_eq!(b.say("del h 10.0.0.3"), "Element cannot be deleted from the set: it's not added");
    assert_eq!(b.say("-exist del h 10.0.0.3"), "");
    assert_eq!(b.members("h"), ["10.0.0.0", "10.0.0.1"]);
}

#[test]
fn what_does_not_fit_is_refused_in_the_tool_s_words() {
    let mut b = Bench::new(&[
        "create h hash:ip maxelem 2",
        "create n hash:net",
        "create p hash:ip,port",
        "create b bitmap:port range 10-20",
    ]);
    for (line, complaint) in [
        ("add h 0.0.0.0", "Null-valued element, cannot be stored in a hash type of set"),
        ("add h 0.0.0.0/0", "Null-valued element, cannot be stored in a hash type of set"),
        ("add h 1.1.1.1-1.1.1.9", "Hash is full, cannot add more elements"),
        ("add h 1.1.1.1,80", "Syntax error: Elem separator in 1.1.1.1,80, but settype hash:ip supports none."),
        ("add h 300.1.1.1", "Syntax error: cannot parse 300.1.1.1: resolving to IPv4 address failed"),
        ("add h 1.1.1.0/33", "Syntax error: '33' is out of range 0-32"),
        ("add h 1.1.1.1 timeout 5", "Timeout cannot be used: set was created without timeout support"),
        ("add h 1.1.1.1 comment x", "Comment cannot be used: set was created without comment support"),
        ("add h 1.1.1.1 nomatch", "Unknown argument: `nomatch'"),
        ("add n 0.0.0.0/0", "The value of the CIDR parameter of the IP address is invalid"),
        ("add p 1.1.1.1", "Syntax error: Second element is missing from 1.1.1.1."),
        ("add p 1.1.1.1,foo:80", "Syntax error: cannot parse 'foo' as a protocol"),
        ("add p 1.1.1.1,gre:80", "Syntax error: Protocol gre can be used with pseudo port value 0 only."),
        ("add p 1.1.1.1,icmp:80", "Cannot parse 80 as an ICMP type/code."),
        ("add b 9", "Element is out of the range of the set"),
        ("add nosuch 1.1.1.1", "The set with the given name does not exist"),
        ("create x hash:foo", "Syntax error: typename 'hash:foo' is unknown"),
        ("create h hash:ip", "Set cannot be created: set with the same name already exists"),
        ("create x hash:ip timeout 2147484", "Syntax error: '2147484' is out of range 0-2147483"),
        ("create x hash:ip netmask 33", "Syntax error: '33' is out of range 1-32"),
        ("create x bitmap:port", "Mandatory option `range' is missing"),
        ("swap n p", "The sets cannot be swapped: their type does not match"),
        ("add", "Missing mandatory argument to command add"),
        ("add h", "Missing second mandatory argument to command add"),
        ("frob h", "No command specified: unknown argument frob"),
    ] {
        assert_eq!(b.say(line), complaint, "{line}");
    }
}

#[test]
fn the_longest_network_decides_and_an_exception_is_no_match() {
    let mut b = Bench::new(&["create n hash:net", "add n 10.0.0.5/16", "add n 10.0.7.0/24 nomatch", "add n 10.0.7.9"]);
    assert_eq!(b.members("n"), ["10.0.0.0/16", "10.0.7.0/24 nomatch", "10.0.7.9"]);
    let from = |addr: &str| datagram(addr, "9.9.9.9");
    let seen = ["10.0.1.1", "10.0.7.1", "10.0.7.9", "10.1.0.1"].map(|addr| b.has("n", "src", &from(addr)));
    assert_eq!(seen, [true, false, true, false]);
    let exceptions = Asking { nomatch: true, ..Asking::default() };
    assert!(b.asks("n", "src", &from("10.0.7.1"), exceptions) && !b.asks("n", "src", &from("10.0.1.1"), exceptions));
    assert_eq!(b.say("test n 10.0.7.1"), "10.0.7.1 is NOT in set n.");
    assert_eq!(b.say("test n 10.0.0.0/16"), "");
    assert_eq!(b.say("test n 10.0.0.0/17"), "10.0.0.0/17 is NOT in set n.", "a network is looked for as it is");
}

#[test]
fn a_range_of_networks_is_cut_into_the_largest_that_fit() {
    let mut b = Bench::new(&["create n hash:net", "add n 10.9.0.1-10.9.0.6"]);
    assert_eq!(b.members("n"), ["10.9.0.1", "10.9.0.2/31", "10.9.0.4/31", "10.9.0.6"]);
    for range in ["128.0.0.0-255.255.255.255", "1.0.0.0-1.255.255.255"] {
        assert_eq!(b.say(&format!("add n {range}")), "", "{range}");
    }
    let members = b.members("n");
    assert_eq!((members[0].as_str(), members[5].as_str()), ("1.0.0.0/8", "128.0.0.0/1"));
}

#[test]
fn each_field_of_a_pair_names_its_own_side() {
    let mut b = Bench::new(&[
        "create p hash:ip,port",
        "add p 10.0.0.2,udp:53",
        "add p 10.0.0.1,icmp:ping",
        "add p 10.0.0.2,80",
    ]);
    let asked = datagram("10.0.0.1", "10.0.0.2");
    assert!(b.has("p", "dst,dst", &asked) && !b.has("p", "dst,src", &asked) && !b.has("p", "src,dst", &asked));
    assert!(!b.has("p", "dst", &asked), "one side is not enough for two fields");
    assert!(b.has("p", "src,src", &Packet::new("10.0.0.1", "10.0.0.9", ICMP, [0x0800, 0])));
    assert!(!b.has("p", "dst,dst", &Packet::new("10.0.0.1", "10.0.0.2", UDP, [1, 80])), "80 alone is TCP's");
    let fragment = Packet { later_fragment: true, ..datagram("10.0.0.1", "10.0.0.2") };
    assert!(!b.has("p", "dst,dst", &fragment), "a later fragment has no ports");
}

#[test]
fn a_bitmap_holds_ports_of_tcp_and_udp() {
    let mut b = Bench::new(&["create b bitmap:port range 20-100", "add b 50-53", "add b http"]);
    assert_eq!(b.members("b"), ["50", "51", "52", "53", "80"]);
    assert!(b.has("b", "dst", &datagram("1.1.1.1", "2.2.2.2")) && !b.has("b", "src", &datagram("1.1.1.1", "2.2.2.2")));
    assert!(!b.has("b", "dst", &Packet::new("1.1.1.1", "2.2.2.2", 132, [1, 53])), "SCTP has none");
}

#[test]
fn a_list_is_the_union_of_its_members_and_holds_them_fast() {
    let mut b = Bench::new(&[
        "create one hash:ip",
        "add one 10.0.0.1",
        "create two hash:ip",
        "add two 10.0.0.2",
        "create pair hash:ip,port",
        "create all list:set",
        "add all one",
        "add all two",
        "add all pair before one",
    ]);
    assert_eq!(b.members("all"), ["pair", "one", "two"]);
    let from = |addr: &str| datagram(addr, "9.9.9.9");
    assert!(b.has("all", "src", &from("10.0.0.2")) && !b.has("all", "src", &from("10.0.0.3")));
    assert_eq!(b.say("destroy two"), "Set cannot be destroyed: it is in use by a kernel component");
    assert_eq!(b.say("rename two x"), "Set cannot be renamed: it is in use by another system");
    assert_eq!(b.say("add all all"), "Sets with list:set type cannot be added to the set.");
    assert_eq!(b.say("add all nosuch"), "Set to be added/deleted/tested as element does not exist.");
    assert_eq!(b.say("swap one two"), "");
    assert!(b.has("one", "src", &from("10.0.0.2")), "contents move, names stay");
    assert_eq!((b.say("del all two"), b.say("destroy two")), (String::new(), String::new()));
    assert!(!b.has("all", "src", &from("10.0.0.1")));
}

#[test]
fn a_set_that_a_rule_names_stays() {
    let mut b = Bench::new(&["create h hash:ip", "create g hash:ip"]);
    b.ruled = vec!["h"];
    assert_eq!(b.say("destroy h"), "Set cannot be destroyed: it is in use by a kernel component");
    assert_eq!(b.say("destroy"), "Set cannot be destroyed: it is in use by a kernel component");
    assert_eq!(b.say("destroy g"), "");
    b.ruled.clear();
    assert_eq!((b.say("destroy"), b.sets.get("h").is_none()), (String::new(), true));
}

#[test]
fn elements_vanish_when_their_time_is_over() {
    let mut b = Bench::new(&[
        "create h hash:ip timeout 60",
        "add h 10.0.0.1",
        "add h 10.0.0.2 timeout 0",
        "add h 10.0.0.3 timeout 5",
    ]);
    b.now += Duration::from_millis(4500);
    assert_eq!(b.members("h"), ["10.0.0.1 timeout 55", "10.0.0.2 timeout 0", "10.0.0.3 timeout 1"]);
    assert_eq!(b.say("-exist add h 10.0.0.1 timeout 9"), "");
    b.now += Duration::from_secs(9);
    let from = |addr: &str| datagram(addr, "9.9.9.9");
    assert!(!b.has("h", "src", &from("10.0.0.1")) && !b.has("h", "src", &from("10.0.0.3")));
    assert!(b.has("h", "src", &from("10.0.0.2")));
    assert_eq!(b.members("h"), ["10.0.0.2 timeout 0"]);
}

#[test]
fn elements_count_and_what_was_counted_can_be_asked() {
    let mut b = Bench::new(&["create h hash:ip counters", "add h 10.0.0.1 packets 1 bytes 10"]);
    let packet = datagram("10.0.0.1", "9.9.9.9");
    let more = Asking { packets: Some(Count::Gt(2)), ..Asking::default() };
    assert!(!b.asks("h", "src", &packet, more), "the packet asked about is the second");
    assert!(b.asks("h", "src", &packet, more), "and this the third");
    assert!(b.asks("h", "src", &packet, Asking { count: false, ..more }));
    assert_eq!(b.members("h"), ["10.0.0.1 packets 3 bytes 70"]);
}

#[test]
fn packets_enter_and_leave_sets() {
    let mut b = Bench::new(&[
        "create h hash:ip timeout 60 counters",
        "create n hash:net",
        "add n 10.0.0.0/24",
        "add n 10.1.0.0/16",
    ]);
    let packet = datagram("10.5.5.5", "9.9.9.9");
    let src = Sides::read("src").unwrap();
    let now = b.now;
    b.sets.enter("h", src, &packet.subject(now), false, Some(5));
    b.sets.enter("n", src, &packet.subject(now), false, None);
    assert_eq!(b.members("h"), ["10.5.5.5 timeout 5 packets 1 bytes 30"]);
    assert_eq!(b.members("n"), ["10.0.0.0/24", "10.1.0.0/16", "10.5.5.0/24"]);
    b.sets.leave("h", src, &packet.subject(now));
    assert_eq!(b.members("h"), [""; 0]);
}

#[test]
fn what_save_prints_makes_the_same_sets_again() {
    let commands = [
        "create h hash:ip netmask 24 hashsize 100 timeout 30 counters comment forceadd initval 0x1234",
        "add h 10.1.2.3 comment \"two words\"",
        "create p hash:ip,port",
        "add p 10.0.0.2,icmp:8/1",
        "add p 10.0.0.2,tcp:80",
        "add p 10.0.0.2,udp:9",
        "create six hash:net family inet6",
        "add six fd00::5/64",
        "create l list:set size 2",
        "add l p",
        "create b bitmap:port range 0-1000",
    ];
    let mut b = Bench::new(&commands);
    let saved = b.run("save").unwrap();
    let text = [
        "create h hash:ip family inet hashsize 128 maxelem 65536 netmask 24 timeout 30 counters comment forceadd bucketsize 12 initval 0x00001234",
        "add h 10.1.2.0 timeout 30 packets 0 bytes 0 comment \"two words\"",
        "create p hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x00000000",
        "add p 10.0.0.2,tcp:80",
        "add p 10.0.0.2,udp:9",
        "add p 10.0.0.2,icmp:8/1",
        "create six hash:net family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x00000000",
        "add six fd00::/64",
        "create b bitmap:port range 0-1000",
        "create l list:set size 4",
        "add l p",
    ];
    assert_eq!(saved, text);
    let lines: Vec<&str> = saved.iter().map(String::as_str).collect();
    assert_eq!(Bench::new(&lines).run("save").unwrap(), saved);
    assert_eq!(b.run("list -n").unwrap(), ["h", "p", "six", "b", "l"], "lists come last");
    assert_eq!(Command::read(&["save", "-t"]), Ok(Command::List(None, Form::Terse)));
}

proptest::proptest! {
    #[test]
    fn no_line_makes_a_panic(line in "(create|add|del|test|swap|list) [hnpbl] ?(hash:ip|hash:net|10[0-9./,:-]{0,12}|[ -~]{0,20})( [a-z]{3,8} [0-9]{1,4})?") {
        let mut b = Bench::new(&["create h hash:ip", "create n hash:net", "create p hash:ip,port", "create b bitmap:port range 0-9", "create l list:set"]);
        let _ = b.run(&line);
    }
}

#[test]
fn tcp_is_meant_where_no_protocol_is_named() {
    let mut b = Bench::new(&["create p hash:ip,port", "add p 10.0.0.1,80-79"]);
    assert_eq!(b.members("p"), ["10.0.0.1,tcp:79", "10.0.0.1,tcp:80"]);
    assert!(b.has("p", "src,dst", &Packet::new("10.0.0.1", "1.1.1.1", TCP, [5, 80])));
}
