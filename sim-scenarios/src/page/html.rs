//! Markup that cannot be broken out of: what comes in as text goes out as text.
//!
//! Names of tags and attributes are the program's own (`&'static str`); everything else goes through one escaping writer. So
//! whatever a manifest calls its things, an [`Html`] has the structure that the code gave it.

use std::fmt::{self, Write};

use sim_k8s::manifest::is_invisible;

use crate::explain::{Walk, svg};

/// Well-formed markup, HTML or SVG.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Html(String);

/// One element that is being written.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    name: &'static str,
    attributes: String,
    content: Html,
}

/// Elements without content and end (HTML living standard, "Void elements").
const VOID: [&str; 3] = ["input", "meta", "img"];

/// An element without attributes and content.
pub(super) fn tag(name: &'static str) -> Tag {
    Tag { name, attributes: String::new(), content: Html::default() }
}

impl Html {
    /// Text. Control, bidirectional and other invisible characters are written as escapes (`\u{202e}`).
    pub(super) fn text(text: impl fmt::Display) -> Self {
        let mut html = Self::default();
        let _ = write!(Escaped(&mut html.0), "{text}");
        html
    }

    /// Markup, style or script of the program's own.
    pub(super) fn of(markup: &'static str) -> Self {
        Self(markup.to_owned())
    }

    /// The drawing of a walk, which escapes what it shows.
    pub(super) fn drawn(walk: &Walk) -> Self {
        Self(svg(walk))
    }

    /// The markup as text.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Tag {
    /// Adds an attribute.
    #[must_use]
    pub(super) fn attr(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let _ = write!(self.attributes, " {name}=\"");
        let _ = write!(Escaped(&mut self.attributes), "{value}");
        self.attributes.push('"');
        self
    }

    /// Sets its class, or its classes; none if that is empty.
    #[must_use]
    pub(super) fn class(self, class: &'static str) -> Self {
        if class.is_empty() { self } else { self.attr("class", class) }
    }

    /// Adds text to its content.
    #[must_use]
    pub(super) fn text(self, text: impl fmt::Display) -> Self {
        self.put(Html::text(text))
    }

    /// Adds an element or other markup to its content.
    #[must_use]
    pub(super) fn put(mut self, html: impl Into<Html>) -> Self {
        self.content.0 += &html.into().0;
        self
    }

    /// Adds several.
    #[must_use]
    pub(super) fn all<H: Into<Html>>(self, all: impl IntoIterator<Item = H>) -> Self {
        all.into_iter().fold(self, Self::put)
    }
}

impl From<Tag> for Html {
    fn from(Tag { name, attributes, content }: Tag) -> Self {
        if VOID.contains(&name) {
            return Self(format!("<{name}{attributes}>"));
        }
        Self(format!("<{name}{attributes}>{}</{name}>", content.0))
    }
}

impl<H: Into<Html>> FromIterator<H> for Html {
    fn from_iter<I: IntoIterator<Item = H>>(all: I) -> Self {
        Self(all.into_iter().map(|html| html.into().0).collect())
    }
}

/// Escapes what is written into it.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c if is_invisible(c) => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_text_in_content_and_in_attributes() {
        let name = "\"><img src=x onerror='alert(1)'><script>&amp;</script>";
        let html = Html::from(tag("a").attr("title", name).text(name)).into_string();
        let escaped = "&quot;&gt;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&lt;script&gt;&amp;amp;&lt;/script&gt;";
        assert_eq!(html, format!("<a title=\"{escaped}\">{escaped}</a>"));
    }

    #[test]
    fn a_name_that_would_turn_the_line_around_does_not() {
        assert_eq!(Html::text("a\u{202e}b\u{0}").into_string(), "a\\u{202e}b\\u{0}");
        assert_eq!(Html::text("日本 é").into_string(), "日本 é");
    }

    #[test]
    fn elements_nest_and_void_ones_have_no_end() {
        let list = tag("ul").class("x").all(["1", "<"].map(|text| tag("li").text(text)));
        assert_eq!(Html::from(list).into_string(), "<ul class=\"x\"><li>1</li><li>&lt;</li></ul>");
        assert_eq!(Html::from(tag("meta").attr("charset", "utf-8")).into_string(), "<meta charset=\"utf-8\">");
    }
}
