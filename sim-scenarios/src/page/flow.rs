//! The picture of the traffic: from callers by Services to those who answered.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use sim_k8s::api::ObjectKey;

use super::html::{Html, Tag, tag};
use super::svg::{bow, drawing, fitted, rect, text, text_to, titled};
use super::{Page, left_out};
use crate::report::port;
use crate::run::Edge;

/// Edges that are drawn at most: those with most failed calls first, then those with most calls.
const EDGES: usize = 48;
/// Pods that are drawn one by one at most; more are drawn by Service and node.
const ENDPOINTS: usize = 48;

/// The columns: where they begin, how wide they are, what they are.
const COLUMNS: [(i32, i32, &str); 3] = [(0, 310, "callers"), (420, 270, "targets"), (800, 320, "answered by")];
const TOP: i32 = 28;
const GAP: i32 = 10;

/// A column's boxes, by what they stand for.
type Column = IndexMap<String, Place>;

/// A box.
#[derive(Clone, Debug, Default)]
struct Place {
    /// What stands at its right end.
    note: String,
    /// Whether that is trouble.
    bad: bool,
    /// Ends of links at its left and right.
    links: [usize; 2],
    top: i32,
    height: i32,
}

/// Calls from a box of one column to one of the next.
struct Link {
    class: &'static str,
    calls: u64,
    /// Column and box on the left, then the slot there; the same on the right.
    from: (usize, usize, usize),
    to: (usize, usize),
    title: String,
}

#[derive(Default)]
struct Flow {
    columns: [Column; 3],
    links: Vec<Link>,
}

/// The picture.
pub(super) fn figure(page: &Page<'_>) -> Html {
    let all: Vec<&Edge> = page.run.edges().iter().filter(|edge| edge.tally.sent > 0).collect();
    if all.is_empty() {
        return tag("p").class("note").text("Nobody called anybody.").into();
    }
    let failed = |edge: &Edge| edge.tally.failures.values().sum::<u64>();
    let mut ranked: Vec<usize> = (0..all.len()).collect();
    ranked.sort_by_key(|index| (Reverse(failed(all[*index])), Reverse(all[*index].tally.sent), *index));
    ranked.truncate(EDGES);
    ranked.sort_unstable();
    let edges: Vec<&Edge> = ranked.into_iter().map(|index| all[index]).collect();
    let flow = Flow::of(page, &edges);
    let height = flow.columns.iter().map(bottom).max().unwrap_or(0);
    let label = format!("{} edges from callers to targets to those who answered", edges.len());
    let legend = [("ok", "answered"), ("bad", "failed"), ("idle", "never asked")];
    let legend = legend.map(|(class, words)| tag("span").put(tag("i").class(class)).text(words));
    let figure = tag("figure").put(drawing(height + 4, &label, flow.drawn()));
    let figure = figure.put(tag("figcaption").class("legend lines").all(legend));
    let note = left_out(all.len(), EDGES, "more edges, those with fewest calls,");
    std::iter::once(figure).chain(note).collect()
}

impl Flow {
    fn of(page: &Page<'_>, edges: &[&Edge]) -> Self {
        let mut flow = Self::default();
        let pods: BTreeMap<_, ()> =
            edges.iter().flat_map(|edge| edge.tally.answered_by.keys()).map(|pod| (pod, ())).collect();
        let grouped = pods.len() > ENDPOINTS;
        let mut answers: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for edge in edges {
            let call = &edge.call;
            let target = port(&call.to.to_string(), call.port, &call.protocol.to_string());
            let [from, to] = [(0, call.from.to_string()), (1, target)].map(|(column, name)| flow.place(column, name));
            flow.calls(from, to, edge);
            for (pod, count) in &edge.tally.answered_by {
                let name = answered_by(page, edge, *pod, grouped);
                let endpoint = flow.place(2, name.0);
                flow.columns[2][endpoint].note = name.1;
                *answers.entry((to, endpoint)).or_default() += count;
            }
            if !grouped {
                flow.never_asked(page, call.to.service(), call.port, to, &mut answers);
            }
        }
        for ((target, endpoint), count) in answers {
            let class = if count == 0 { "idle" } else { "ok" };
            flow.link(class, count, (1, target), endpoint);
        }
        flow.lay_out();
        flow
    }

    /// The box of this name, as an index.
    fn place(&mut self, column: usize, name: String) -> usize {
        let entry = self.columns[column].entry(name);
        let index = entry.index();
        entry.or_default();
        index
    }

    /// The calls of an edge: those that were answered, and those that were not.
    fn calls(&mut self, from: usize, to: usize, edge: &Edge) {
        let answered: u64 = edge.tally.answered_by.values().sum();
        let failed: u64 = edge.tally.failures.values().sum();
        for (class, count) in [("ok", answered), ("bad", failed)] {
            if count > 0 {
                self.link(class, count, (0, from), to);
            }
        }
        if failed > 0 {
            let target = &mut self.columns[1][to];
            target.bad = true;
            let before: u64 = target.note.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            target.note = format!("{} failed", before + failed);
        }
    }

    /// Endpoints of a Service that answered nobody.
    fn never_asked(
        &mut self,
        page: &Page<'_>,
        service: Option<&ObjectKey>,
        number: u16,
        target: usize,
        answers: &mut BTreeMap<(usize, usize), u64>,
    ) {
        let cluster = page.run.cluster();
        let Some(service) = service.and_then(|key| cluster.service(key)) else { return };
        let endpoints = service.ports.iter().filter(|port| port.port == number).flat_map(|port| &port.endpoints);
        for endpoint in endpoints {
            let Some(pod) =
                cluster.pods.iter().rposition(|pod| pod.ips.contains(&endpoint.ip()) && pod.ended.is_none())
            else {
                continue;
            };
            let (name, note) = named(page, pod);
            let endpoint = self.place(2, name);
            self.columns[2][endpoint].note = note;
            answers.entry((target, endpoint)).or_default();
        }
    }

    fn link(&mut self, class: &'static str, calls: u64, (column, from): (usize, usize), to: usize) {
        let name = |column: &Column, index: usize| column.get_index(index).map_or("", |(name, _)| name).to_owned();
        let ends = [name(&self.columns[column], from), name(&self.columns[column + 1], to)];
        let what = if class == "bad" { "failed" } else { "answered" };
        let title = format!("{} → {}: {calls} {what}", ends[0], ends[1]);
        let slot = &mut self.columns[column][from].links[1];
        let from = (column, from, *slot);
        *slot += 1;
        let slot = &mut self.columns[column + 1][to].links[0];
        let to = (to, *slot);
        *slot += 1;
        self.links.push(Link { class, calls, from, to, title });
    }

    /// Gives every box its place, each column in the middle of the highest.
    fn lay_out(&mut self) {
        for column in &mut self.columns {
            let mut top = TOP;
            for place in column.values_mut() {
                let links = place.links.into_iter().max().unwrap_or(0) as i32;
                (place.top, place.height) = (top, (links * 7 + 8).max(26));
                top += place.height + GAP;
            }
        }
        let highest = self.columns.iter().map(bottom).max().unwrap_or(0);
        for column in &mut self.columns {
            let places = column.len() as i32;
            let spare = highest - bottom(column);
            for (index, place) in column.values_mut().enumerate() {
                place.top += spare * (2 * index as i32 + 1) / (2 * places);
            }
        }
    }

    fn drawn(&self) -> Html {
        let links = self.links.iter().map(|link| Html::from(self.link_drawn(link)));
        let columns = self.columns.iter().zip(COLUMNS);
        let boxes = columns.flat_map(|(column, (x, width, title))| {
            let head = text("soft small", (x, 14), title);
            let boxes = column.iter().map(move |(name, place)| place.drawn(name, x, width));
            std::iter::once(head).chain(boxes).map(Html::from)
        });
        links.chain(boxes).collect()
    }

    fn link_drawn(&self, link: &Link) -> Tag {
        let (column, from, slot) = link.from;
        let start = (COLUMNS[column].0 + COLUMNS[column].1, self.columns[column][from].slot(1, slot));
        let end = (COLUMNS[column + 1].0, self.columns[column + 1][link.to.0].slot(0, link.to.1));
        // Ten times as many calls are a stroke about 2 pixels wider.
        let tenths = 10 + 6 * (u64::BITS - link.calls.leading_zeros());
        let class = match link.class {
            "bad" => "link bad",
            "idle" => "link idle",
            _ => "link ok",
        };
        let stroke = bow(class, start, end).attr("stroke-width", format_args!("{}.{}", tenths / 10, tenths % 10));
        titled(&link.title, [stroke])
    }
}

impl Place {
    /// The height at which a link meets one side.
    fn slot(&self, side: usize, slot: usize) -> i32 {
        self.top + self.height * (2 * slot as i32 + 1) / (2 * self.links[side].max(1) as i32)
    }

    fn drawn(&self, name: &str, x: i32, width: i32) -> Tag {
        let base = self.top + self.height / 2 + 4;
        let room = width - 20 - if self.note.is_empty() { 0 } else { 7 * self.note.chars().count() as i32 + 8 };
        let class = if self.bad { "box hurt" } else { "box" };
        let mut shapes =
            vec![rect(class, (x, self.top), (width, self.height)), text("small", (x + 10, base), fitted(name, room))];
        if !self.note.is_empty() {
            let class = if self.bad { "trouble small" } else { "soft small" };
            shapes.push(text_to(class, (x + width - 10, base), &self.note));
        }
        titled(name, shapes)
    }
}

fn bottom(column: &Column) -> i32 {
    column.last().map_or(TOP, |(_, place)| place.top + place.height)
}

/// Who answered calls of an edge, and where that is; by Service and node if `grouped`.
fn answered_by(page: &Page<'_>, edge: &Edge, pod: Option<usize>, grouped: bool) -> (String, String) {
    match pod {
        Some(pod) if grouped => {
            let node = &page.run.cluster().nodes[page.run.cluster().pods[pod].node].name;
            (format!("pods of {} on {node}", edge.call.to), String::new())
        }
        Some(pod) => named(page, pod),
        None if edge.call.to.service().is_none() => ("world outside".into(), String::new()),
        None => (format!("some pod of {}", edge.call.to), "does not say which".into()),
    }
}

/// A pod: its name, and its node. One that is gone may have a successor of its name.
fn named(page: &Page<'_>, pod: usize) -> (String, String) {
    let cluster = page.run.cluster();
    let pod = &cluster.pods[pod];
    let node = &cluster.nodes[pod.node].name;
    let name = pod.key.to_string();
    if pod.ended.is_some() { (format!("{name} ({})", pod.ip()), format!("{node}, gone")) } else { (name, node.clone()) }
}
