//! A walk as a Mermaid sequence diagram, for Markdown.

use std::fmt::Write;

use super::diagram::{Diagram, Item};
use super::walk::Walk;

/// The walk as Mermaid's `sequenceDiagram`. Names cannot break out of it: what means something to Mermaid is written as
/// an entity.
pub fn mermaid(walk: &Walk) -> String {
    let diagram = Diagram::of(walk);
    let mut out = String::from("sequenceDiagram\n");
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "    {text}").expect("a string takes all text");
    let mut netns = None;
    for (number, lifeline) in diagram.lifelines.iter().enumerate() {
        if netns != Some(lifeline.netns) {
            if netns.is_some() {
                line(format_args!("end"));
            }
            line(format_args!("box transparent {}", escaped(lifeline.netns)));
            netns = Some(lifeline.netns);
        }
        line(format_args!("participant d{number} as {}", escaped(lifeline.dev)));
    }
    if netns.is_some() {
        line(format_args!("end"));
    }
    let last = diagram.lifelines.len().saturating_sub(1);
    for item in &diagram.items {
        match item {
            Item::Packet { title } => line(format_args!("Note over d0,d{last}: {}", escaped(title))),
            Item::Arrow { from, to, label } => line(format_args!("d{from}->>d{to}: {}", escaped(label))),
            Item::Note { at, lines } => {
                let lines: Vec<_> = lines.iter().map(|line| escaped(line)).collect();
                line(format_args!("Note over d{at}: {}", lines.join("<br/>")));
            }
            Item::Lost { at, why } => line(format_args!("d{at}-xd{at}: {}", escaped(why))),
        }
    }
    out
}

/// Letters, digits and a few marks as they are, all else as Mermaid's entities (`#35;`).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || " ./:→_-()*+=,?✗".contains(c) => out.push(c),
            c => write!(out, "#{};", u32::from(c)).expect("a string takes all text"),
        }
    }
    // A line that says nothing else would end a box.
    if out.trim() == "end" || out.is_empty() { format!("{out}#8203;") } else { out }
}
