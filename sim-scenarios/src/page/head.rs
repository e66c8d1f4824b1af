//! The head of the page: what was run, what came of it in one line, and the way to see it again.

use sim_core::engine::time::Duration;

use super::Page;
use super::html::{Html, tag};
use crate::run::{Balancer, Network, chosen};

/// Files that are named at most.
const FILES: usize = 12;

/// The section.
pub(super) fn section(page: &Page<'_>) -> Html {
    let report = page.report;
    let verdict = tag("h1").class(if report.ok { "good" } else { "trouble" }).text(verdict(page));
    let lost: u64 = page.recording.lost_in.values().sum();
    let tiles = [
        ("calls", report.calls.sent, ""),
        ("answered", report.calls.answered, "good"),
        ("failed", report.calls.failed, if report.calls.failed > 0 { "trouble" } else { "" }),
        ("packets lost", lost, ""),
        ("hops", report.hops, ""),
        ("events", report.events, ""),
    ];
    let tiles = tiles.map(|(name, count, class)| {
        tag("div").put(tag("dt").text(name)).put(tag("dd").class(class).text(grouped(count)))
    });
    let facts =
        facts(page).into_iter().map(|(name, value)| tag("div").put(tag("dt").text(name)).put(tag("dd").put(value)));
    tag("header")
        .put(tag("p").class("brand").text(format_args!("everyhop {}", page.recipe.version)))
        .put(verdict)
        .put(tag("p").class("subject").text(subject(page)))
        .put(tag("dl").class("tiles").all(tiles))
        .put(tag("dl").class("facts").all(facts))
        .put(tag("p").class("again").text("To see it again:").put(tag("code").text(page.again)))
        .into()
}

/// What was run, in a few words.
pub(super) fn subject(page: &Page<'_>) -> String {
    let first = page.recipe.manifests.first().map_or("no manifests", |file| &file.name);
    let more = match page.recipe.manifests.len() {
        0 | 1 => String::new(),
        files => format!(" and {} more", files - 1),
    };
    let nodes = page.report.nodes;
    format!("{first}{more} on {nodes} {}, seed {}", if nodes == 1 { "node" } else { "nodes" }, page.report.seed)
}

fn verdict(page: &Page<'_>) -> String {
    let report = page.report;
    let calls = report.calls;
    let empty = report.services.iter().filter(|service| service.endpoints.is_empty()).count();
    match (calls.sent, calls.failed) {
        (_, 0) if empty == 1 => "One Service port has no endpoint.".into(),
        (_, 0) if empty > 1 => format!("{empty} Service ports have no endpoint."),
        (0, _) => "Nobody called anybody.".into(),
        (1, 0) => "The one call was answered.".into(),
        (sent, 0) => format!("All {} calls were answered.", grouped(sent)),
        (sent, failed) => format!("{} of {} calls failed.", grouped(failed), grouped(sent)),
    }
}

fn facts(page: &Page<'_>) -> Vec<(&'static str, Html)> {
    let (recipe, report) = (page.recipe, page.report);
    let options = &recipe.cluster;
    let told = |(word, meaning): (&str, &str)| format!("{word}: {meaning}");
    let network = told(chosen(Network::ALL, options.network));
    let balancer = told(chosen(Balancer::ALL, options.load_balancer));
    let nodes = match options.zones {
        0 => report.nodes.to_string(),
        zones => format!("{} in {zones} zones", report.nodes),
    };
    let times = format!(
        "{} simulated; settled after {}, calls begun for {}",
        Duration::from_nanos(report.ended_ns),
        Duration::from_nanos(report.settled_ns),
        Duration::from_nanos(recipe.duration_ns.get())
    );
    let mut facts = vec![("manifests", files(page))];
    let given = [("traffic", &recipe.traffic), ("faults", &recipe.faults)];
    facts.extend(given.into_iter().filter_map(|(name, file)| Some((name, Html::text(&file.as_ref()?.name)))));
    let rest = [
        ("seed", report.seed.to_string()),
        ("nodes", nodes),
        ("pods at the end", report.pods.to_string()),
        ("network", network),
        ("load balancers", balancer),
        ("time", times),
    ];
    facts.extend(rest.into_iter().map(|(name, value)| (name, Html::text(value))));
    facts.push(("fingerprint", tag("code").text(&report.fingerprint).into()));
    facts
}

fn files(page: &Page<'_>) -> Html {
    let names: Vec<&str> = page.recipe.manifests.iter().map(|file| file.name.as_str()).collect();
    let more = names.len().saturating_sub(FILES);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Html::text(format_args!("{}{more}", names[..names.len().min(FILES)].join(", ")))
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
