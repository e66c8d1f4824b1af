//! What else is to be known of a run.

use super::Page;
use super::html::{Html, Tag, tag};

/// Lines of a list at most.
const LINES: usize = 100;

/// The section; empty if there is nothing.
pub(super) fn section(page: &Page<'_>) -> Html {
    let report = page.report;
    let lists = [
        ("Pods that fit on no node", &report.pending),
        ("Not called, not served", &report.not_called),
        ("Warnings", &report.warnings),
        ("In the manifests, but without effect here", &report.not_applied),
    ];
    lists.into_iter().filter_map(|(title, lines)| list(title, lines)).collect()
}

fn list(title: &str, lines: &[String]) -> Option<Tag> {
    if lines.is_empty() {
        return None;
    }
    let hidden = lines.len().saturating_sub(LINES);
    let items = lines.iter().take(LINES).map(|line| tag("li").text(line));
    let more = (hidden > 0).then(|| tag("li").class("soft").text(format_args!("and {hidden} more")));
    Some(tag("article").put(tag("h3").text(title)).put(tag("ul").all(items).all(more)))
}
