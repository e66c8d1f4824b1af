//! The same for people.

use super::super::table::table;
use super::OutsideReport;

/// Every Service that is called from outside: in numbers, node by node, and what would make it better.
pub(in super::super) fn text(services: &[OutsideReport]) -> String {
    if services.is_empty() {
        return String::new();
    }
    let head = ["from outside to", "externalTrafficPolicy", "answered", "second hops", "busiest endpoint"];
    let mut rows = vec![head.map(str::to_owned)];
    for service in services {
        let percent = |percent: Option<u64>| percent.map_or("-".into(), |percent| format!("{percent} %"));
        rows.push([
            format!("{} ({})", service.service, service.service_type),
            service.policy.into(),
            service.answered.to_string(),
            format!("{} ({} % expected)", service.second_hops, service.expected_second_hops_percent),
            format!("{} ({} expected)", percent(service.busiest_percent), percent(service.expected_busiest_percent)),
        ]);
        rows.extend(service.nodes.iter().map(|node| {
            let numbers = format!("{} entered, {} answered here", node.entered, node.answered);
            let endpoints = if node.endpoints == 1 { "endpoint" } else { "endpoints" };
            let endpoints = format!("{} {endpoints}", node.endpoints);
            [format!("  {}", node.node), endpoints, String::new(), numbers, String::new()]
        }));
    }
    table(&rows, 2) + "\n" + &services.iter().map(advice).collect::<String>()
}

fn advice(service: &OutsideReport) -> String {
    let Some(advice) = &service.advice else { return String::new() };
    let lines: String = advice.to_string().lines().map(|line| format!("  {line}\n")).collect();
    format!("Advice for {}:\n{lines}\n", service.service)
}
