//! Shapes of a drawing, in its pixels. Colours are classes of the page's style, so that light and dark are one drawing.

use std::fmt;

use super::html::{Html, Tag, tag};

/// Width of every drawing: it is shown as wide as the page, or scrolls.
pub(super) const WIDTH: i32 = 1120;

/// A drawing of some height, with what it shows for those who cannot see it.
pub(super) fn drawing(height: i32, label: &str, shapes: Html) -> Tag {
    let svg = tag("svg").class("plan").attr("viewBox", format_args!("0 0 {WIDTH} {height}")).attr("role", "img");
    tag("div").class("drawing").attr("tabindex", 0).put(svg.attr("aria-label", label).put(shapes))
}

/// A rectangle with round corners.
pub(super) fn rect(class: &'static str, (x, y): (i32, i32), (width, height): (i32, i32)) -> Tag {
    let rect = tag("rect").class(class).attr("x", x).attr("y", y);
    rect.attr("width", width.max(0)).attr("height", height.max(0)).attr("rx", 6.min(width / 4).min(height / 4).max(0))
}

/// A line of text whose baseline begins at a point.
pub(super) fn text(class: &'static str, (x, y): (i32, i32), text: impl fmt::Display) -> Tag {
    tag("text").class(class).attr("x", x).attr("y", y).text(text)
}

/// A text that ends at a point.
pub(super) fn text_to(class: &'static str, at: (i32, i32), what: impl fmt::Display) -> Tag {
    text(class, at, what).attr("text-anchor", "end")
}

/// A straight line.
pub(super) fn line(class: &'static str, from: (i32, i32), to: (i32, i32)) -> Tag {
    tag("path").class(class).attr("d", format_args!("M{} {}L{} {}", from.0, from.1, to.0, to.1))
}

/// A bow from left to right.
pub(super) fn bow(class: &'static str, from: (i32, i32), to: (i32, i32)) -> Tag {
    let middle = (from.0 + to.0) / 2;
    let d = format!("M{} {}C{middle} {} {middle} {} {} {}", from.0, from.1, from.1, to.1, to.0, to.1);
    tag("path").class(class).attr("d", d)
}

/// A dot.
pub(super) fn dot(class: &'static str, (x, y): (i32, i32)) -> Tag {
    tag("circle").class(class).attr("cx", x).attr("cy", y).attr("r", 4)
}

/// Shapes that say what they are when they are pointed at.
pub(super) fn titled(title: impl fmt::Display, shapes: impl IntoIterator<Item = Tag>) -> Tag {
    tag("g").put(tag("title").text(title)).all(shapes)
}

/// A name cut in its middle to what `width` has room for, in letters 7 pixels wide: beginning and end tell most.
pub(super) fn fitted(name: &str, width: i32) -> String {
    let room = usize::try_from(width / 7).unwrap_or(0).max(3);
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= room {
        return name.to_owned();
    }
    let tail = (room - 1) / 2;
    let head = room - 1 - tail;
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn a_long_name_keeps_its_ends() {
        assert_eq!(fitted("front-4fl4hmwhfb-q4xgp", 70), "front…4xgp");
        assert_eq!(fitted("web", 70), "web");
        assert_eq!(fitted("日本語日本語", 28), "日本…語");
    }
}
