//! Where packets were dropped, and why.

use std::cmp::Reverse;

use sim_core::engine::trail::{DropPlace, DropReason};

use super::head::grouped;
use super::html::{Html, Tag, tag};
use super::timeline::seconds;
use super::{Page, left_out};

/// Rows of a table at most.
const ROWS: usize = 200;

/// The section: what was lost, and below it copies that were for someone else.
pub(super) fn section(page: &Page<'_>) -> Html {
    let all = page.run.world().drops().iter();
    let (copies, mut lost): (Vec<_>, Vec<_>) = all.partition(|(place, _)| place.reason == DropReason::OtherHost);
    lost.sort_by_key(|(place, count)| (Reverse(*count), **place));
    let nothing = lost.is_empty().then(|| tag("p").class("note").text("No packet was lost."));
    let table = (!lost.is_empty()).then(|| table(page, &lost));
    let copies = (!copies.is_empty()).then(|| {
        let count: u64 = copies.iter().map(|(_, count)| count).sum();
        let summary = format!("{} copies that bridges flooded to pods they were not for", grouped(count));
        tag("details").put(tag("summary").text(summary)).put(self::table(page, &copies))
    });
    nothing.map(Html::from).into_iter().chain(table).chain(copies.map(Html::from)).collect()
}

fn table(page: &Page<'_>, drops: &[(&DropPlace, u64)]) -> Html {
    let head = ["packets", "why", "netns", "dev", "stage", "first", "last", "first packet"].into_iter().enumerate();
    let numbers = [0, 5, 6, 7];
    let head = head.map(|(column, title)| {
        tag("th").attr("scope", "col").class(if numbers.contains(&column) { "n" } else { "" }).text(title)
    });
    let rows = drops.iter().take(ROWS).map(|(place, count)| row(page, place, *count));
    let table = tag("table").put(tag("thead").put(tag("tr").all(head))).put(tag("tbody").all(rows));
    let wide = tag("div").class("wide").attr("tabindex", 0).put(table);
    std::iter::once(wide).chain(left_out(drops.len(), ROWS, "more places")).collect()
}

fn row(page: &Page<'_>, place: &DropPlace, count: u64) -> Tag {
    let world = page.run.world();
    let dev = place.dev.map_or("–", |dev| world.dev_name(place.netns, dev));
    let lost = page.recording.losses.get(place);
    let [first, last, packet] = lost.map_or_else(
        || ["–"; 3].map(str::to_owned),
        |lost| [seconds(lost.first.0), seconds(lost.last), lost.first.1.0.to_string()],
    );
    let why = tag("td").text(place.reason.meaning()).put(tag("span").class("kernel").text(place.reason.name()));
    tag("tr")
        .put(tag("td").class("n").text(grouped(count)))
        .put(why)
        .put(tag("td").text(world.netns_name(place.netns)))
        .put(tag("td").text(dev))
        .put(tag("td").text(place.stage))
        .all([first, last, packet].map(|cell| tag("td").class("n").text(cell)))
}
