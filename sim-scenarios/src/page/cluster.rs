//! The picture of the cluster: what is outside, the switch, zones, nodes, and the pods on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim_k8s::api::{Condition, Phase, Pod, WorkloadRef};
use sim_k8s::cluster::Node;

use super::html::{Html, Tag, tag};
use super::svg::{WIDTH, dot, drawing, fitted, line, rect, text, text_to, titled};
use super::{Page, left_out};

/// Nodes that are drawn at most.
const NODES: usize = 48;
/// Columns of nodes at most; so many zones have a frame each.
const COLUMNS: usize = 4;
/// Pods of a node that are drawn one by one at most; more are drawn by workload.
const PODS: usize = 14;
/// Rows of a node at most.
const ROWS: usize = 20;
/// Pods of one row at most.
const DOTS: usize = 12;
/// Pods without a node that are named at most.
const WAITING: usize = 10;

/// Height of a row of a node, and of what stands above the rows.
const ROW: i32 = 22;
const HEAD: i32 = 50;
/// Where the switch is drawn.
const SWITCH: i32 = 104;
/// Space between things.
const GAP: i32 = 16;

/// The section.
pub(super) fn section(page: &Page<'_>) -> Html {
    let cluster = page.run.cluster();
    let shown: Vec<&Node> = cluster.nodes.iter().take(NODES).collect();
    let columns = columns(page, &shown);
    let width = (WIDTH - GAP * (columns.len() as i32 - 1)) / columns.len() as i32;
    let mut shapes: Vec<Html> = vec![outside(page)];
    let mut bottom = SWITCH;
    for (index, column) in columns.iter().enumerate() {
        let x = index as i32 * (width + GAP);
        let (drawn, end) = self::column(page, column, x, width);
        shapes.push(drawn);
        bottom = bottom.max(end);
    }
    let label = format!("{} nodes and {} pods", page.report.nodes, page.report.pods);
    let legend =
        [("ready", "ready"), ("unready", "not ready"), ("going", "on its way out"), ("done", "has done its work")];
    let legend = legend.map(|(class, words)| tag("span").put(tag("i").class(class)).text(words));
    let figure = tag("figure").put(drawing(bottom + 4, &label, shapes.into_iter().collect()));
    let figure = figure.put(tag("figcaption").class("legend").all(legend)).put(waiting(page));
    std::iter::once(figure).chain(left_out(cluster.nodes.len(), NODES, "more nodes")).collect()
}

/// Nodes that stand below each other.
struct Column<'a> {
    zone: Option<&'a str>,
    nodes: Vec<&'a Node>,
}

/// A column for each zone if there are few, else nodes are dealt to columns in turn.
fn columns<'a>(page: &Page<'a>, nodes: &[&'a Node]) -> Vec<Column<'a>> {
    let mut zones: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        zones.entry(zone(page, node)).or_default().push(node);
    }
    if (2..=COLUMNS).contains(&zones.len()) {
        return zones.into_iter().map(|(zone, nodes)| Column { zone: Some(zone), nodes }).collect();
    }
    let count = nodes.len().clamp(1, COLUMNS);
    let dealt = |column| nodes.iter().skip(column).step_by(count).copied().collect();
    (0..count).map(|column| Column { zone: None, nodes: dealt(column) }).collect()
}

fn zone<'a>(page: &Page<'a>, node: &Node) -> &'a str {
    page.run.cluster().objects().nodes.get(&node.name).map_or("", |node| node.zone())
}

/// What stands above the switch: the world outside, the gateway, the load balancers; and the switch.
fn outside(page: &Page<'_>) -> Html {
    let world = page.run.world();
    let cluster = page.run.cluster();
    let address = |netns: &str| {
        let found = world.addresses().find(|(name, dev, _)| *name == netns && *dev == "eth0");
        found.map(|(.., ip)| ip.to_string()).unwrap_or_default()
    };
    let (answered, failed) = page.outside_calls();
    let wire = if failed > 0 {
        "wire bad"
    } else if answered > 0 {
        "wire ok"
    } else {
        "wire"
    };
    let traffic = match (answered, failed) {
        (0, 0) => String::new(),
        (answered, 0) => format!("{answered} calls answered"),
        (answered, failed) => format!("{answered} calls answered, {failed} failed"),
    };
    let mut shapes = vec![
        line("wire", (8, SWITCH), (WIDTH - 8, SWITCH)),
        text_to("soft small", (WIDTH - 8, SWITCH - 8), "underlay switch"),
        line(wire, (230, 34), (460, 34)),
        text("soft small", (242, 26), traffic),
        line(wire, (560, 58), (560, SWITCH)),
    ];
    shapes.extend(machine((0, 10), 230, "world outside", &format!("clients at {}", cluster.world_ips[0])));
    shapes.extend(machine((460, 10), 200, "gateway gw", &format!("{} · 1:1 NAT", address("gw"))));
    let balanced: Vec<IpAddr> = cluster.services().iter().flat_map(|service| service.external_ips.clone()).collect();
    if let Some(first) = balanced.first() {
        let more = if balanced.len() > 1 { format!(" and {} more", balanced.len() - 1) } else { String::new() };
        shapes.push(line("wire", (800, 58), (800, SWITCH)));
        shapes.extend(machine((700, 10), 280, "load balancer lb", &format!("{} · for {first}{more}", address("lb"))));
    }
    shapes.into_iter().collect()
}

fn machine(at: (i32, i32), width: i32, name: &str, what: &str) -> [Tag; 3] {
    [
        rect("box", at, (width, 48)),
        text("strong", (at.0 + 12, at.1 + 20), name),
        text("soft small", (at.0 + 12, at.1 + 38), fitted(what, width - 24)),
    ]
}

/// A column, and where it ends.
fn column(page: &Page<'_>, column: &Column<'_>, x: i32, width: i32) -> (Html, i32) {
    let mut nodes = Vec::new();
    let (inset, mut y) = if column.zone.is_some() { (10, SWITCH + 50) } else { (0, SWITCH + 24) };
    let rail = x + inset + 20;
    for node in &column.nodes {
        let (drawn, height) = self::node(page, node, (x + inset, y), width - 2 * inset);
        nodes.push(drawn);
        y += height + GAP;
    }
    let last = y - GAP;
    let mut shapes = Vec::new();
    if let Some(zone) = column.zone {
        shapes.push(rect("zone", (x, SWITCH + 16), (width, last + 10 - SWITCH - 16)));
        shapes.push(text("soft small", (x + 44, SWITCH + 38), format_args!("zone {zone}")));
    }
    // The wires to all nodes of the column run behind them.
    shapes.push(line("wire", (rail, SWITCH), (rail, last - 10)));
    let all = shapes.into_iter().map(Html::from).chain(nodes).collect();
    (all, if column.zone.is_some() { last + 10 } else { last })
}

/// A node, and its height.
fn node(page: &Page<'_>, node: &Node, (x, y): (i32, i32), width: i32) -> (Html, i32) {
    let (objects, world) = (page.run.cluster().objects(), page.run.world());
    let stored = objects.nodes.get(&node.name);
    let cut = world.link_config(node.link).is_some_and(|link| link.down);
    let state = match stored {
        None => "has left",
        Some(_) if cut => "no link",
        Some(stored) if stored.ready != Condition::True => "not ready",
        Some(stored) if stored.unschedulable => "takes no new pods",
        Some(_) => "ready",
    };
    let class = if state == "ready" { "good small" } else { "trouble small" };
    let network =
        stored.and_then(|stored| stored.pod_cidrs.first()).map_or(String::new(), |net| format!(" · pods {net}"));
    let up = stored.is_some() && !cut;
    let pods: Vec<&Pod> = objects.pods_on(&node.name).map(|pod| &**pod).collect();
    let mut rows = rows(&pods, up);
    let hidden = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    let height = HEAD + ROW * (rows.len() as i32 + i32::from(hidden > 0)) + 8;
    let mut shapes: Vec<Html> = vec![
        rect(if up { "box" } else { "box off" }, (x, y), (width, height)).into(),
        text("strong", (x + 12, y + 22), &node.name).into(),
        text_to(class, (x + width - 12, y + 22), state).into(),
        text("soft small", (x + 12, y + 40), fitted(&format!("{}{network}", node.ip()), width - 24)).into(),
    ];
    for (index, row) in rows.iter().enumerate() {
        shapes.push(row.drawn((x + 12, y + HEAD + ROW * index as i32 + 16), width - 24).into());
    }
    if hidden > 0 {
        let words = format!("and {hidden} workloads more");
        shapes.push(text("soft small", (x + 12, y + height - 12), words).into());
    }
    (shapes.into_iter().collect(), height)
}

/// One line of a node: a pod, or the pods of a workload.
struct Row {
    name: String,
    /// The address of a single pod.
    ip: Option<IpAddr>,
    /// A class for each pod.
    states: Vec<&'static str>,
    title: String,
}

/// The rows of a node that is `up`, or of one whose pods nobody can reach.
fn rows(pods: &[&Pod], up: bool) -> Vec<Row> {
    let state = |pod: &Pod| if up { state(pod) } else { "unready" };
    if pods.len() <= PODS {
        let row = |pod: &&Pod| Row {
            name: pod.key.to_string(),
            ip: pod.status.ips.first().copied(),
            states: vec![state(pod)],
            title: format!("{} of {}: {}", pod.key, pod.workload, in_words(state(pod))),
        };
        return pods.iter().map(row).collect();
    }
    let mut workloads: BTreeMap<&WorkloadRef, Vec<&'static str>> = BTreeMap::new();
    for pod in pods {
        workloads.entry(&pod.workload).or_default().push(state(pod));
    }
    let row = |(workload, states): (&WorkloadRef, Vec<&'static str>)| {
        let ready = states.iter().filter(|state| **state == "ready").count();
        let title = format!("{workload}: {} pods, {ready} ready", states.len());
        Row { name: workload.key.to_string(), ip: None, states, title }
    };
    workloads.into_iter().map(row).collect()
}

/// The state of a pod, as a class.
fn state(pod: &Pod) -> &'static str {
    match pod.status.phase {
        _ if pod.is_terminating() => "going",
        Phase::Succeeded => "done",
        _ if pod.status.ready => "ready",
        _ => "unready",
    }
}

fn in_words(state: &str) -> &'static str {
    match state {
        "ready" => "ready",
        "going" => "on its way out",
        "done" => "has done its work",
        _ => "not ready",
    }
}

impl Row {
    fn drawn(&self, (x, y): (i32, i32), width: i32) -> Tag {
        let shown = self.states.len().min(DOTS) as i32;
        let dots = (0..shown).map(|n| dot(self.states[n as usize], (x + 4 + 10 * n, y - 4)));
        let begin = x + 10 * shown + 6;
        let mut shapes: Vec<Tag> = dots.collect();
        let right = match self.ip {
            Some(ip) => ip.to_string(),
            None if self.states.len() == 1 => "1 pod".to_owned(),
            None => format!("{} pods", self.states.len()),
        };
        let room = x + width - begin - 7 * right.len() as i32 - 10;
        shapes.push(text("small", (begin, y), fitted(&self.name, room)));
        shapes.push(text_to("soft small", (x + width, y), right));
        titled(&self.title, shapes)
    }
}

/// Pods that wait for a node.
fn waiting(page: &Page<'_>) -> Html {
    let pods = page.run.cluster().objects().pods.values().filter(|pod| pod.node_name.is_none());
    let names: Vec<String> = pods.map(|pod| pod.key.to_string()).collect();
    if names.is_empty() {
        return Html::default();
    }
    let more = if names.len() > WAITING { format!(" and {} more", names.len() - WAITING) } else { String::new() };
    let named = names[..names.len().min(WAITING)].join(", ");
    tag("p").class("note").text(format_args!("Without a node: {named}{more}.")).into()
}
