//! A walk as a sequence diagram: devices are lifelines, grouped by netns, and what happens follows from top to bottom.

use std::collections::BTreeMap;

use super::walk::{Frame, PacketWalk, Walk, Way};

/// A sequence diagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Diagram<'w> {
    /// The lifelines, from left to right: those of a netns stand together, in the order in which packets came to them.
    pub(super) lifelines: Vec<Lifeline<'w>>,
    /// What happens, from top to bottom.
    pub(super) items: Vec<Item<'w>>,
}

/// One device, or a netns in which something was lost before it reached one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lifeline<'w> {
    pub(super) netns: &'w str,
    pub(super) dev: &'w str,
}

/// What happens. Numbers are those of lifelines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item<'w> {
    /// A packet begins.
    Packet { title: String },
    /// A frame goes from one device to another, with its addresses if they are new.
    Arrow { from: usize, to: usize, label: &'w str },
    /// What was decided at a device.
    Note { at: usize, lines: &'w [String] },
    /// The packet ends there.
    Lost { at: usize, why: &'w str },
}

impl<'w> Diagram<'w> {
    pub(super) fn of(walk: &'w Walk) -> Self {
        let lifelines = lifelines(walk);
        let numbers = lifelines.iter().enumerate().map(|(number, line)| ((line.netns, line.dev), number)).collect();
        let items = walk.packets.iter().flat_map(|packet| items(packet, &numbers)).collect();
        Self { lifelines, items }
    }
}

fn dev(frame: &Frame) -> &str {
    frame.dev.as_deref().unwrap_or("")
}

fn lifelines(walk: &Walk) -> Vec<Lifeline<'_>> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for frame in walk.packets.iter().flat_map(|packet| &packet.frames) {
        match groups.iter_mut().find(|(netns, _)| *netns == frame.netns) {
            Some((_, devs)) if devs.contains(&dev(frame)) => {}
            Some((_, devs)) => devs.push(dev(frame)),
            None => groups.push((&frame.netns, vec![dev(frame)])),
        }
    }
    groups.into_iter().flat_map(|(netns, devs)| devs.into_iter().map(move |dev| Lifeline { netns, dev })).collect()
}

fn items<'w>(packet: &'w PacketWalk, numbers: &BTreeMap<(&str, &str), usize>) -> Vec<Item<'w>> {
    let number = |frame: &Frame| numbers[&(frame.netns.as_str(), dev(frame))];
    let names = packet.names.as_ref().map(|[src, dst]| format!("  {src} → {dst}")).unwrap_or_default();
    let ends = packet.frames.first().map_or("", |frame| &frame.ends);
    let mut items = vec![Item::Packet { title: format!("{}  {ends}{names}", packet.what) }];
    let mut shown = ends;
    for frame in &packet.frames {
        let (to, before) = (number(frame), frame.after.map(|index| &packet.frames[index]));
        let note = (!frame.decided.is_empty()).then_some(Item::Note { at: to, lines: &frame.decided });
        let label = if frame.ends == shown { "" } else { frame.ends.as_str() };
        let arrow = before.map(number).filter(|from| *from != to).map(|from| Item::Arrow { from, to, label });
        // What a netns decided comes before the frame shows it; what came over a wire was decided upon there.
        let inside = before.is_some_and(|before| before.netns == frame.netns);
        let both = if inside { [note, arrow] } else { [arrow, note] };
        items.extend(both.into_iter().flatten());
        if frame.way == Way::Lost {
            items.push(Item::Lost { at: to, why: frame.lost.as_deref().unwrap_or("") });
        }
        shown = &frame.ends;
    }
    items
}
