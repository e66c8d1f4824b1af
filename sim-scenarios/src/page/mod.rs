//! A run as a page to look at: one HTML file that needs nothing else, no network, no scripts.
//!
//! A [`Recording`] watches a run while it is replayed; [`Page::html`] makes the page of both and of the [`Report`].
//!
//! | room | what it is |
//! | --- | --- |
//! | `html` `svg` | markup that cannot be broken out of; shapes of drawings |
//! | `recording` `moments` | what happened when, in words |
//! | `head` | what was run, and what came of it in one line |
//! | `cluster` | the picture of nodes and pods |
//! | `traffic` `flow` | who called whom: the table, the picture |
//! | `timeline` | lanes on one time axis, and the list |
//! | `walks` | the ways of chosen packets, drawn |
//! | `drops` | where packets were dropped, and why |
//! | `notes` | what else is to be known |
//!
//! Every part is bounded, and says what it left out.

mod cluster;
mod drops;
mod flow;
mod head;
mod html;
mod moments;
mod notes;
mod recording;
mod svg;
mod timeline;
mod traffic;
mod walks;

use sim_k8s::workload::Caller;

use crate::report::Report;
use crate::run::{Recipe, Run};
use html::{Html, Tag, tag};

pub use recording::Recording;

/// How the page looks, on a screen, on paper, in light and dark.
const STYLE: &str = include_str!("style.css");
/// Nothing is loaded from anywhere; pictures are part of the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What the run was made from.
    pub recipe: &'a Recipe,
    /// The run, at its end.
    pub run: &'a Run,
    /// What came of it.
    pub report: &'a Report,
    /// What happened meanwhile.
    pub recording: &'a Recording,
    /// The command line that makes the run once more.
    pub again: &'a str,
}

/// A part of the page: its anchor, its title, what is in it.
type Part = (&'static str, &'static str, Html);

impl Page<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let parts: [Part; 6] = [
            ("cluster", "Cluster", cluster::section(self)),
            ("traffic", "Traffic", traffic::section(self)),
            ("timeline", "Timeline", timeline::section(self)),
            ("walks", "Walks", walks::section(self)),
            ("drops", "Dropped packets", drops::section(self)),
            ("notes", "Notes", notes::section(self)),
        ];
        let parts: Vec<Part> = parts.into_iter().filter(|(.., content)| !content.is_empty()).collect();
        let links = parts.iter().map(|(anchor, title, _)| tag("a").attr("href", format_args!("#{anchor}")).text(title));
        let nav = tag("nav").attr("aria-label", "parts of this page").all(links.collect::<Vec<_>>());
        let main = tag("main").put(head::section(self)).put(nav).all(parts.into_iter().map(section));
        let meta = |name: &'static str, value: &str| tag("meta").attr("name", name).attr("content", value);
        let document_head = tag("head")
            .put(tag("meta").attr("charset", "utf-8"))
            .put(tag("meta").attr("http-equiv", "Content-Security-Policy").attr("content", POLICY))
            .put(meta("viewport", "width=device-width, initial-scale=1"))
            .put(meta("color-scheme", "light dark"))
            .put(meta("referrer", "no-referrer"))
            .put(tag("title").text(format_args!("everyhop: {}", head::subject(self))))
            .put(tag("style").put(Html::of(STYLE)));
        let page = tag("html").attr("lang", "en").put(document_head).put(tag("body").put(main));
        format!("<!doctype html>\n{}\n", Html::from(page).into_string())
    }

    /// Calls from and to the world outside: answered and failed.
    fn outside_calls(&self) -> (u64, u64) {
        let edges = self.run.edges().iter();
        let outside = edges.filter(|edge| edge.call.from == Caller::World || edge.call.to.service().is_none());
        outside.fold((0, 0), |(answered, failed), edge| {
            let tally = &edge.tally;
            (answered + tally.answered_by.values().sum::<u64>(), failed + tally.failures.values().sum::<u64>())
        })
    }
}

/// Says how many of `count` things there is no room for.
fn left_out(count: usize, most: usize, what: &str) -> Option<Tag> {
    let hidden = count.saturating_sub(most);
    (hidden > 0).then(|| {
        tag("p").class("note").text(format_args!("{} {what} are left out here.", head::grouped(hidden as u64)))
    })
}

fn section((anchor, title, content): Part) -> Tag {
    tag("section").attr("id", anchor).put(tag("h2").text(title)).put(content)
}

#[cfg(test)]
mod tests;
