//! Who called whom: as a picture, from callers by Services to endpoints, and as a table.

use sim_core::engine::time::Duration;

use super::html::{Html, Tag, tag};
use super::{Page, flow, left_out};
use crate::report::{EdgeReport, OutsideReport, port};

/// Rows of the table at most.
const EDGES: usize = 500;
/// Ways in which the calls of one edge failed that are told at most.
const FAILURES: usize = 12;
/// Services that are told of one by one at most.
const SERVICES: usize = 40;
/// Nodes of one of them at most.
const NODES: usize = 50;

/// The section.
pub(super) fn section(page: &Page<'_>) -> Html {
    [flow::figure(page), table(page), outside(page)].into_iter().collect()
}

fn table(page: &Page<'_>) -> Html {
    let head = ["caller", "target", "speaks", "calls", "answered", "failed", "min", "median", "p99"];
    let numbers_from = 3;
    let head = head.iter().enumerate().map(|(column, title)| {
        let cell = tag("th").attr("scope", "col").text(title);
        if column < numbers_from { cell } else { cell.class("n") }
    });
    let edges = &page.report.edges;
    let body = edges.iter().take(EDGES).map(edge);
    let table = tag("table").put(tag("thead").put(tag("tr").all(head))).all(body);
    let wide = tag("div").class("wide").attr("tabindex", 0).put(table);
    std::iter::once(wide).chain(left_out(edges.len(), EDGES, "more edges")).collect()
}

/// An edge: a row of numbers, and one for each way its calls failed.
fn edge(edge: &EdgeReport) -> Tag {
    let shown = |ns: u64| Duration::from_nanos(ns).to_string();
    let [min, median, p99] = edge.latency.map_or_else(
        || ["–"; 3].map(str::to_owned),
        |latency| [latency.min_ns, latency.median_ns, latency.p99_ns].map(shown),
    );
    let calls = edge.calls;
    let failed = tag("td").class(if calls.failed > 0 { "n bad" } else { "n" }).text(calls.failed);
    let number = |text: String| tag("td").class("n").text(text);
    let row = tag("tr")
        .put(tag("th").attr("scope", "row").text(&edge.from))
        .put(tag("td").text(port(&edge.service, edge.port, &edge.protocol)))
        .put(tag("td").text(edge.speaks))
        .all([calls.sent, calls.answered].map(|count| number(count.to_string())))
        .put(failed)
        .all([min, median, p99].map(number));
    let failures = edge.failures.iter().take(FAILURES).map(|failure| {
        let place = if failure.place.is_empty() { String::new() } else { format!(" · {}", failure.place) };
        let words = format!("{} × {}{place}", failure.count, failure.reason);
        tag("tr").class("why").put(tag("td").attr("colspan", 9).text(words))
    });
    let hidden = edge.failures.len().saturating_sub(FAILURES);
    let more = (hidden > 0).then(|| format!("and {hidden} more ways"));
    let more = more.map(|more| tag("tr").class("why").put(tag("td").attr("colspan", 9).text(more)));
    tag("tbody").put(row).all(failures).all(more)
}

/// The Services that are called from outside by way of nodes.
fn outside(page: &Page<'_>) -> Html {
    let services = &page.report.outside;
    if services.is_empty() {
        return Html::default();
    }
    let title = tag("h3").text("From outside, by way of nodes");
    let told = services.iter().take(SERVICES).map(service);
    std::iter::once(title).chain(told).chain(left_out(services.len(), SERVICES, "more Services")).collect()
}

fn service(service: &OutsideReport) -> Tag {
    let percent = |percent: Option<u64>| percent.map_or("–".to_owned(), |percent| format!("{percent} %"));
    let facts = [
        ("externalTrafficPolicy", service.policy.to_owned()),
        ("answered", service.answered.to_string()),
        ("second hops", format!("{} ({} % expected)", service.second_hops, service.expected_second_hops_percent)),
        (
            "busiest endpoint",
            format!("{} ({} expected)", percent(service.busiest_percent), percent(service.expected_busiest_percent)),
        ),
    ];
    let facts = facts.map(|(name, value)| tag("div").put(tag("dt").text(name)).put(tag("dd").text(value)));
    let head = ["node", "entered", "endpoints", "answered here"].into_iter().enumerate();
    let head =
        head.map(|(column, title)| tag("th").attr("scope", "col").class(if column > 0 { "n" } else { "" }).text(title));
    let rows = service.nodes.iter().take(NODES).map(|node| {
        let numbers = [node.entered, node.endpoints, node.answered];
        let numbers = numbers.map(|number| tag("td").class("n").text(number));
        tag("tr").put(tag("th").attr("scope", "row").text(&node.node)).all(numbers)
    });
    let table = tag("table").class("narrow").put(tag("thead").put(tag("tr").all(head))).put(tag("tbody").all(rows));
    let article = tag("article")
        .put(tag("h4").text(format_args!("{} ({})", service.service, service.service_type)))
        .put(tag("dl").class("facts").all(facts))
        .put(tag("div").class("wide").attr("tabindex", 0).put(table))
        .all(left_out(service.nodes.len(), NODES, "more nodes"));
    let Some(advice) = &service.advice else { return article };
    let patches = advice.patches.iter().map(|patch| {
        let name = tag("figcaption").text(format_args!("{} {}", patch.kind, patch.object));
        tag("figure").class("patch").put(name).put(tag("pre").text(&patch.yaml))
    });
    let advice = tag("details").attr("open", "").put(tag("summary").text("Advice"));
    article.put(advice.all(service_why(service)).put(tag("div").class("patches").all(patches)))
}

fn service_why(service: &OutsideReport) -> impl Iterator<Item = Tag> {
    service.advice.iter().flat_map(|advice| &advice.why).map(|why| tag("p").text(why))
}
