//! A walk as an SVG picture: self-contained, without scripts, in the colours of the reader's choice, light or dark.

use std::fmt::{self, Write};

use super::diagram::{Diagram, Item};
use super::walk::Walk;

/// Space around everything, in pixels, as all lengths here.
const MARGIN: usize = 24;
/// From one lifeline to the next, at least.
const APART: usize = 120;
/// What a character of the monospaced font takes, of 11 pixels' height.
const CHARACTER: usize = 7;
/// From one line of text to the next.
const LINE: usize = 15;
/// Longest line of a note, in characters; more is wrapped.
const WRAP: usize = 64;
/// Where lifelines begin: under the names of netns and devices.
const TOP: usize = 104;

/// Inside another document nothing else is styled by this. Colours are a paper's, and at night a blackboard's.
const STYLE: &str = "\
.walk{--paper:#fff;--ink:#1c2733;--faint:#8695a5;--band:#f0f4f8;--band2:#e6edf4;--arrow:#0b65c2;--note:#fff8dc;--edge:#d9c36a;--lost:#c4192d;\
font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}\
@media(prefers-color-scheme:dark){.walk{--paper:#12171d;--ink:#dfe7ee;--faint:#77889a;--band:#1a222b;--band2:#202a35;--arrow:#5fb0ff;--note:#2b2713;--edge:#7d6f2c;--lost:#ff6b78}}\
.walk text{fill:var(--ink);white-space:pre}.walk .paper{fill:var(--paper)}.walk .band{fill:var(--band)}.walk .odd{fill:var(--band2)}\
.walk .netns{font-weight:700;font-size:13px}.walk .title{font-weight:700;font-size:15px}.walk .packet{font-weight:700}\
.walk .life{stroke:var(--faint);stroke-dasharray:2 4}.walk .rule{stroke:var(--faint)}.walk .arrow{stroke:var(--arrow);stroke-width:1.6;fill:none}\
.walk .head{fill:var(--arrow)}.walk .label{fill:var(--arrow);stroke:var(--paper);stroke-width:4;paint-order:stroke}\
.walk .note{fill:var(--note);stroke:var(--edge)}.walk .cross{stroke:var(--lost);stroke-width:2.5}.walk .why{fill:var(--lost);font-weight:700;stroke:var(--paper);stroke-width:4;paint-order:stroke}";

/// The walk as one `<svg>` element, to stand alone or inside HTML.
pub fn svg(walk: &Walk) -> String {
    let diagram = Diagram::of(walk);
    let mut picture = Picture::new(&diagram, &walk.title);
    diagram.items.iter().for_each(|item| picture.item(item));
    picture.finish(&diagram, &walk.title)
}

/// A picture being drawn from top to bottom.
struct Picture {
    /// Where each lifeline is.
    xs: Vec<usize>,
    width: usize,
    /// The elements so far.
    body: String,
    /// Down to here.
    y: usize,
}

impl Picture {
    fn new(diagram: &Diagram<'_>, title: &str) -> Self {
        let mut xs = Vec::with_capacity(diagram.lifelines.len());
        let mut x = MARGIN;
        for group in diagram.lifelines.chunk_by(|a, b| a.netns == b.netns) {
            let begun = x;
            for lifeline in group {
                xs.push(x + column(lifeline.dev) / 2);
                x += column(lifeline.dev);
            }
            x = x.max(begun + band_of(group[0].netns)) + 8;
        }
        let widest = diagram.items.iter().map(|item| match item {
            Item::Packet { title } => width_of(title),
            Item::Note { .. } => WRAP * CHARACTER,
            Item::Arrow { label, .. } => width_of(label),
            Item::Lost { why, .. } => width_of(why),
        });
        let widest = widest.chain([width_of(title) * 4 / 3]).max().unwrap_or_default() + 2 * MARGIN + 16;
        Self { xs, width: widest.max(x + MARGIN), body: String::new(), y: TOP }
    }

    fn draw(&mut self, element: fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("a string takes all text");
        self.body.push('\n');
    }

    fn text(&mut self, class: &str, (x, y): (usize, usize), text: &str) {
        self.draw(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(text)));
    }

    fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Packet { title } => {
                self.y += 26;
                let (y, to) = (self.y - 18, self.width - MARGIN);
                self.draw(format_args!("<line class=\"rule\" x1=\"{MARGIN}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\"/>"));
                self.text("packet", (MARGIN + 4, self.y), title);
                self.y += 10;
            }
            Item::Arrow { from, to, label } => self.arrow(self.xs[*from], self.xs[*to], label),
            Item::Note { at, lines } => self.note(self.xs[*at], lines),
            Item::Lost { at, why } => {
                let (x, y) = (self.xs[*at], self.y + 12);
                let (left, right, top, bottom) = (x - 6, x + 6, y - 6, y + 6);
                self.draw(format_args!(
                    "<path class=\"cross\" d=\"M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}\"/>"
                ));
                self.text("why", (self.fitting(x + 12, width_of(why)), y + 4), why);
                self.y += 26;
            }
        }
    }

    fn arrow(&mut self, from: usize, to: usize, label: &str) {
        if !label.is_empty() {
            let x = self.fitting(from.min(to) + 6, width_of(label));
            self.text("label", (x, self.y + 12), label);
            self.y += LINE;
        }
        let y = self.y + 8;
        let (neck, tip) = if from < to { (to - 8, to - 1) } else { (to + 8, to + 1) };
        self.draw(format_args!("<path class=\"arrow\" d=\"M{from} {y}H{neck}\"/>"));
        self.draw(format_args!("<path class=\"head\" d=\"M{tip} {y}L{neck} {}V{}Z\"/>", y - 4, y + 4));
        self.y += 16;
    }

    fn note(&mut self, x: usize, lines: &[String]) {
        let lines: Vec<String> = lines.iter().flat_map(|line| wrapped(line)).collect();
        let width = lines.iter().map(|line| width_of(line)).max().unwrap_or_default() + 12;
        let (left, height) = (self.fitting(x.saturating_sub(10), width), lines.len() * LINE + 6);
        let top = self.y + 4;
        self.draw(format_args!(
            "<rect class=\"note\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"3\"/>"
        ));
        for (number, line) in lines.iter().enumerate() {
            self.text("said", (left + 6, top + 14 + number * LINE), line);
        }
        self.y += height + 8;
    }

    /// Where something of this width begins that would begin at `x`, were there no end of the picture.
    fn fitting(&self, x: usize, width: usize) -> usize {
        x.min((self.width - MARGIN).saturating_sub(width)).max(MARGIN)
    }

    /// Title, netns and lifelines lie under what was drawn.
    fn finish(mut self, diagram: &Diagram<'_>, title: &str) -> String {
        let drawn = std::mem::take(&mut self.body);
        let (width, bottom) = (self.width, self.y + 16);
        let height = bottom + MARGIN;
        self.draw(format_args!("<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>"));
        self.text("title", (MARGIN, 34), title);
        self.bands(diagram, bottom);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"walk\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n{}{drawn}</svg>\n",
            escaped(title),
            self.body
        )
    }

    /// A band for each netns, with the lifelines of its devices.
    fn bands(&mut self, diagram: &Diagram<'_>, bottom: usize) {
        let mut first = 0;
        for (number, group) in diagram.lifelines.chunk_by(|a, b| a.netns == b.netns).enumerate() {
            let lines: Vec<_> = self.xs[first..first + group.len()].to_vec();
            let half = |dev: &str| column(dev) / 2;
            let (from, to) = (lines[0] - half(group[0].dev), lines[group.len() - 1] + half(group[group.len() - 1].dev));
            let name = group[0].netns;
            let (band, width) = (if number % 2 == 0 { "band" } else { "odd" }, (to - from).max(band_of(name)));
            let (top, height) = (TOP - 52, bottom - TOP + 52);
            self.draw(format_args!(
                "<rect class=\"{band}\" x=\"{from}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>"
            ));
            self.text("netns", (from + 8, TOP - 32), name);
            for (x, lifeline) in lines.iter().zip(group) {
                self.text("dev", (x - width_of(lifeline.dev) / 2, TOP - 10), lifeline.dev);
                self.draw(format_args!("<line class=\"life\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\"/>"));
            }
            first += group.len();
        }
    }
}

/// What a text takes.
fn width_of(text: &str) -> usize {
    text.chars().count() * CHARACTER
}

/// What a device takes of the picture.
fn column(dev: &str) -> usize {
    APART.max(width_of(dev) + 20)
}

/// What the band of a netns takes at least: its name is in larger letters.
fn band_of(netns: &str) -> usize {
    width_of(netns) * 6 / 5 + 16
}

/// A line of a note as lines that fit, broken at blanks where there are any.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let last = lines.len() - 1;
            let used = lines[last].chars().count();
            let room = WRAP.saturating_sub(used + 1);
            if word.len() <= room || used <= 2 && word.len() <= WRAP - 3 {
                let blank = if used == 0 || lines[last].ends_with("  ") { "" } else { " " };
                lines[last].extend(blank.chars().chain(word));
                break;
            }
            if word.len() > WRAP - 3 {
                let rest = word.split_off(room.min(word.len()));
                let blank = if used == 0 { "" } else { " " };
                lines[last].extend(blank.chars().chain(word));
                word = rest;
            }
            lines.push("  ".into());
        }
    }
    lines
}

/// Text of an XML document; what may not stand in one is shown as not to be shown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
