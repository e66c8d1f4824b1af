use super::*;
use crate::run::{Run, RunConfig};
use crate::shell::session::Session;
use sim_core::capture::Seen;
use sim_k8s::cluster::ClusterConfig;
use sim_k8s::manifest::{SourceFile, load};
use sim_k8s::workload::Plan;

mod failures;

const TOUR: &str = include_str!("../../../examples/tour/tour.yaml");

/// What was seen of commands in the settled cluster of the tour; of each rule that was looked at, too.
fn seen(command: &str, check: impl FnOnce(&[Seen], &Run)) {
    let loaded = load(&[SourceFile { name: "tour.yaml".into(), text: TOUR.into() }]).unwrap();
    let config = RunConfig { cluster: ClusterConfig { nodes: 2, ..ClusterConfig::default() }, ..RunConfig::default() };
    let mut session = Session::new(&loaded.objects, &Plan::default(), config, &|| false).unwrap();
    session.settle();
    session.take_seen();
    let mut run = session.into_run();
    run.capture_rules();
    let mut session = Session::of(run, &|| false, None);
    session.line(command, &mut |_| {});
    let seen = session.take_seen();
    check(&seen, session.run());
}

/// The walk of the first packets that are not ARP.
fn walk(seen: &[Seen], run: &Run, packets: usize) -> Walk {
    let mut ids: Vec<_> = seen.iter().filter(|seen| !is_arp(seen.frame())).map(Seen::packet).collect();
    ids.dedup();
    ids.truncate(packets);
    Walk::of("default/client → far", &ids, seen, run)
}

#[test]
fn a_walk_is_drawn_like_this() {
    seen("client: nc -zv -w 1 10.96.1.3 80", |seen, run| {
        let walk = walk(seen, run, 1);
        insta::assert_snapshot!("mermaid", mermaid(&walk));
        insta::assert_snapshot!("svg", svg(&walk));
    });
}

#[test]
fn of_a_flooded_frame_each_copy_comes_from_the_device_that_sent_it() {
    seen("n1: ping -c 1 -W 1 10.240.0.2", |seen, run| {
        let asked = seen.iter().find(|seen| is_arp(seen.frame())).unwrap().packet();
        let walk = PacketWalk::of(asked, seen, run);
        let came = |place: &str| {
            let frame = walk.frames.iter().find(|frame| frame.place() == place).unwrap();
            walk.frames[frame.after.unwrap()].place()
        };
        assert_eq!(came("n2/eth0"), "ul/p-n2");
        assert_eq!(came("gw/eth0"), "ul/p-gw");
        assert_eq!(came("ul/p-n2"), "ul/p-n1");
    });
}

#[test]
fn rules_behind_a_return_or_a_goto_were_not_looked_at() {
    let rules = "-N outer; -N inner; -A outer -p tcp -j DROP; -A outer -g inner; -A outer -j DROP; -A inner -p tcp -j DROP; \
        -A inner -j RETURN; -A inner -j DROP; -I OUTPUT -p icmp -j inner; -I OUTPUT -p icmp -j outer";
    let rules: Vec<String> = rules.split("; ").map(|rule| format!("n1: iptables {rule}")).collect();
    seen(&format!("{}; n1: ping -c 1 -W 1 10.240.0.12", rules.join("; ")), |seen, run| {
        let packet = seen.iter().find(|seen| !is_arp(seen.frame())).unwrap().packet();
        let walks = super::rules::of(packet, seen, run);
        let filter = walks.iter().find(|walk| (walk.hook, walk.table.as_str()) == ("OUTPUT", "filter")).unwrap();
        let looked: Vec<String> = filter
            .rules
            .iter()
            .take(8)
            .map(|rule| format!("{} {} {}", rule.chain, rule.number, if rule.fits { "yes" } else { "no" }))
            .collect();
        let inner = ["inner 1 no", "inner 2 yes"];
        assert_eq!(looked[..5], [&["OUTPUT 1 yes", "outer 1 no", "outer 2 yes"], &inner[..]].concat());
        assert_eq!(looked[5..], [&["OUTPUT 2 yes"], &inner[..]].concat());
    });
}

/// Names come from manifests: they must not break out of a picture.
#[test]
fn hostile_names_stay_text() {
    let hostile = "<script>alert('x')</script>]]>&amp;\u{1b}[31m\nend; # \"";
    let frame = Frame {
        at_ns: 0,
        event: 0,
        netns: hostile.into(),
        dev: Some(hostile.into()),
        way: Way::Lost,
        ends: hostile.into(),
        after: None,
        decided: vec![hostile.repeat(20)],
        lost: Some(hostile.into()),
    };
    let names = Some([hostile.into(), hostile.into()]);
    let packet = PacketWalk { id: 1, what: hostile.into(), names, frames: vec![frame.clone(), frame] };
    let walk = Walk { title: hostile.into(), packets: vec![packet] };
    let picture = svg(&walk);
    assert!(!picture.contains("<script") && !picture.contains('\u{1b}') && !picture.contains("]]>"), "{picture}");
    let tags = |text: &str| text.matches('<').count();
    assert_eq!(tags(&picture), picture.matches('>').count(), "every mark is escaped or part of a tag");
    let text = mermaid(&walk);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    for line in lines.skip(1).map(str::trim) {
        let known = ["box transparent ", "participant d", "Note over d", "d0-xd0: "]
            .iter()
            .any(|start| line.starts_with(start));
        assert!(known || line == "end", "{line}");
        assert!(!line.contains('<') || line.contains("<br/>"), "{line}");
    }
}

#[test]
fn nothing_can_be_drawn_too() {
    let walk = Walk { title: String::new(), packets: Vec::new() };
    assert!(svg(&walk).ends_with("</svg>\n"));
    assert_eq!(mermaid(&walk), "sequenceDiagram\n");
    assert_eq!(walk.to_string(), "");
}
