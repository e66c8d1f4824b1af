//! What happened when: lanes on one time axis, and the list.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use sim_core::engine::time::{Duration, Instant};

use super::html::{Html, Tag, tag};
use super::moments::{Lane, Moment};
use super::svg::{WIDTH, drawing, line, rect, text, text_to, titled};
use super::{Page, left_out};

/// Rows of the list at most.
const ROWS: usize = 400;
/// Moments of one kind so close are one row.
const CLOSE: Duration = Duration::from_secs(1);
/// Names in one row at most.
const NAMES: usize = 8;
/// kube-proxies that have a lane each at most.
const PROXIES: usize = 12;

/// Where the axis begins and ends.
const LEFT: i32 = 130;
const RIGHT: i32 = WIDTH - 8;
/// Heights of a lane with bars and of one with marks.
const BARS: i32 = 56;
const MARKS: i32 = 26;
/// Width of a bar.
const BAR: i32 = 6;

/// The section.
pub(super) fn section(page: &Page<'_>) -> Html {
    let moments = page.recording.moments(page.run);
    let axis = Axis { end: page.run.world().now().as_nanos().max(1) };
    let figure = tag("figure").put(lanes(page, &moments, axis));
    [figure.into(), list(page, &moments)].into_iter().collect()
}

/// From time to pixels.
#[derive(Clone, Copy)]
struct Axis {
    end: u64,
}

impl Axis {
    fn x(self, at: Instant) -> i32 {
        let width = u128::from(RIGHT.abs_diff(LEFT));
        LEFT + (u128::from(at.as_nanos()) * width / u128::from(self.end)) as i32
    }

    /// A round number of seconds of which the axis has 4 to 12.
    fn step(self) -> u64 {
        let seconds = self.end / 1_000_000_000;
        let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
        steps.into_iter().find(|step| seconds / step <= 12).unwrap_or(14_400)
    }
}

fn lanes(page: &Page<'_>, moments: &[Moment], axis: Axis) -> Tag {
    let mut shapes: Vec<Html> = Vec::new();
    let mut y = 24;
    let mut add = |name: &str, height: i32, drawn: Html| {
        shapes.push(text_to("soft small", (LEFT - 12, y + height / 2 + 4), name).into());
        shapes.push(tag("g").attr("transform", format_args!("translate(0 {y})")).put(drawn).into());
        y += height + 6;
    };
    let of = |lane: Lane| moments.iter().filter(move |moment| moment.lane == lane);
    let faults: Vec<&Moment> = of(Lane::Faults).collect();
    if !faults.is_empty() {
        add("faults", MARKS, flags(&faults, axis));
    }
    add("calls", BARS, calls(page, axis));
    if !page.recording.lost_in.is_empty() {
        add("lost packets", BARS, lost(page, axis));
    }
    for lane in [Lane::Nodes, Lane::Pods, Lane::Endpoints] {
        add(lane.name(), MARKS, marks(of(lane), axis));
    }
    let mut proxies: BTreeMap<usize, (&str, Vec<&Moment>)> = BTreeMap::new();
    let node =
        |agent: &str| page.run.cluster().nodes.iter().position(|node| agent.ends_with(&format!(" {}", node.name)));
    for moment in of(Lane::KubeProxy) {
        let number = node(&moment.who).unwrap_or_default();
        proxies.entry(number).or_insert_with(|| (&moment.who, Vec::new())).1.push(moment);
    }
    if proxies.len() <= PROXIES {
        for (agent, moments) in proxies.values() {
            add(agent, MARKS, marks(moments.iter().copied(), axis));
        }
    } else {
        add("kube-proxies", MARKS, marks(of(Lane::KubeProxy), axis));
    }
    add(Lane::Network.name(), MARKS, marks(of(Lane::Network), axis));
    let grid = grid(page, axis, y);
    let label = format!("{} moments of the control plane, faults and calls", moments.len());
    drawing(y + 20, &label, std::iter::once(grid).chain(shapes).collect())
}

/// Seconds, and when calls began.
fn grid(page: &Page<'_>, axis: Axis, bottom: i32) -> Html {
    let step = axis.step();
    let mut shapes = Vec::new();
    if let Some(began) = page.run.began() {
        let x = axis.x(began);
        shapes.push(rect("calling", (x, 20), (RIGHT - x, bottom - 20)));
        shapes.push(text("soft small", (x + 4, 14), format_args!("calls begin at {}", seconds(began))));
    }
    for second in (0..=axis.end / 1_000_000_000).step_by(step as usize) {
        let x = axis.x(Instant::from_nanos(second * 1_000_000_000));
        shapes.push(line("grid", (x, 20), (x, bottom)));
        shapes.push(text("soft small", (x, bottom + 14), format_args!("{second} s")).attr("text-anchor", "middle"));
    }
    shapes.into_iter().collect()
}

/// Numbered flags, the numbers being those of the list below.
fn flags(faults: &[&Moment], axis: Axis) -> Html {
    let flag = |(index, fault): (usize, &&Moment)| {
        let x = axis.x(fault.at);
        let number = text("flag small", (x, 17), index + 1).attr("text-anchor", "middle");
        titled(&fault.what, [rect("flag", (x - 9, 4), (18, 18)), number])
    };
    faults.iter().take(200).enumerate().map(flag).collect()
}

/// Answered and failed calls as bars.
fn calls(page: &Page<'_>, axis: Axis) -> Html {
    let mut bins: BTreeMap<i32, [u64; 2]> = BTreeMap::new();
    for end in page.run.edges().iter().flat_map(|edge| &edge.tally.ends) {
        bins.entry(axis.x(end.at) / BAR).or_default()[usize::from(end.outcome.is_err())] += 1;
    }
    bars(&bins, |[answered, failed]| format!("{answered} answered, {failed} failed"))
}

fn lost(page: &Page<'_>, axis: Axis) -> Html {
    let mut bins: BTreeMap<i32, [u64; 2]> = BTreeMap::new();
    for (second, count) in &page.recording.lost_in {
        let at = Instant::from_nanos(second.saturating_mul(1_000_000_000));
        bins.entry(axis.x(at) / BAR).or_default()[1] += count;
    }
    bars(&bins, |[_, lost]| format!("{lost} packets lost"))
}

fn bars(bins: &BTreeMap<i32, [u64; 2]>, title: impl Fn([u64; 2]) -> String) -> Html {
    let highest = bins.values().map(|[good, bad]| good + bad).max().unwrap_or(0).max(1);
    let tall = |count: u64| (count * u64::from(BARS.unsigned_abs())).div_ceil(highest) as i32;
    let bar = |(bin, [good, bad]): (&i32, &[u64; 2])| {
        let (x, good_height, bad_height) = (bin * BAR, tall(*good), tall(*bad));
        let bad_bar = rect("bar bad", (x, BARS - bad_height), (BAR - 1, bad_height));
        let top = (BARS - bad_height - good_height).max(0);
        let good_bar = rect("bar ok", (x, top), (BAR - 1, BARS - bad_height - top));
        titled(title([*good, *bad]), [good_bar, bad_bar])
    };
    bins.iter().map(bar).collect()
}

/// A mark for each moment; those that fall together are one.
fn marks<'m>(moments: impl Iterator<Item = &'m Moment>, axis: Axis) -> Html {
    let mut together: BTreeMap<i32, Vec<&Moment>> = BTreeMap::new();
    for moment in moments {
        together.entry(axis.x(moment.at) / 3 * 3).or_default().push(moment);
    }
    let mark = |(x, moments): (&i32, &Vec<&Moment>)| {
        let bad = moments.iter().any(|moment| moment.bad);
        let height = (8 + 2 * moments.len() as i32).min(MARKS - 4);
        let told =
            moments.iter().take(NAMES).map(|moment| format!("{} {} {}", seconds(moment.at), moment.who, moment.what));
        let class = if bad { "mark bad" } else { "mark" };
        titled(some(told, moments.len(), "\n"), [rect(class, (*x, (MARKS - height) / 2), (2, height))])
    };
    together.iter().map(mark).collect()
}

/// Moments of one kind that are close.
struct Row<'m> {
    first: &'m Moment,
    last: Instant,
    all: Vec<&'m Moment>,
}

fn list(page: &Page<'_>, moments: &[Moment]) -> Html {
    let rows = rows(moments);
    // Trouble is told first where there is not room for all.
    let mut kept: Vec<usize> = (0..rows.len()).collect();
    kept.sort_by_key(|index| (!rows[*index].first.bad && rows[*index].first.lane != Lane::Faults, *index));
    kept.truncate(ROWS);
    kept.sort_unstable();
    let mut fault = 0;
    let body = kept.into_iter().map(|index| rows[index].drawn(&mut fault));
    let head = ["at", "what", "who", ""].map(|title| tag("th").attr("scope", "col").text(title));
    let table = tag("table").class("moments").put(tag("thead").put(tag("tr").all(head))).put(tag("tbody").all(body));
    let notes = left_out(rows.len(), ROWS, "more rows, of those without trouble the latest,").into_iter();
    let not_kept = left_out(page.recording.left_out, 0, "moments after the first 50,000");
    let choices =
        Lane::ALL.iter().filter(|lane| rows.iter().any(|row| row.first.lane == **lane)).map(|lane| choice(*lane));
    let list = tag("div").class("filtered").put(tag("div").class("choices").all(choices));
    let list = list.put(tag("div").class("wide").attr("tabindex", 0).put(table));
    std::iter::once(list).chain(notes).chain(not_kept).collect()
}

/// Whether rows of a lane are shown; the page's style does it.
fn choice(lane: Lane) -> Tag {
    let input = tag("input").attr("type", "checkbox").attr("checked", "").attr("name", lane.class());
    tag("label").put(input).text(lane.name())
}

fn rows(moments: &[Moment]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut open: BTreeMap<(Lane, &str), usize> = BTreeMap::new();
    for moment in moments {
        let key = (moment.lane, moment.what.as_str());
        match open.get(&key).map(|index| &mut rows[*index]) {
            Some(row) if moment.at.since(row.first.at) <= CLOSE && moment.lane != Lane::Faults => {
                row.last = moment.at;
                row.all.push(moment);
            }
            _ => {
                open.insert(key, rows.len());
                rows.push(Row { first: moment, last: moment.at, all: vec![moment] });
            }
        }
    }
    rows
}

impl Row<'_> {
    /// The row; faults are numbered.
    fn drawn(&self, faults: &mut usize) -> Tag {
        let at = tag("td").class("n").text(seconds(self.first.at));
        let what = tag("td").class(if self.first.bad { "bad" } else { "" });
        let row = tag("tr").class(self.first.lane.class()).put(at);
        if self.first.lane == Lane::Faults {
            *faults += 1;
            let number = tag("b").class("flag").text(*faults);
            return row.put(what.put(number).text(" fault")).put(tag("td").attr("colspan", 2).text(&self.first.what));
        }
        let who = self.who();
        let span = self.last.since(self.first.at);
        let span = if span == Duration::ZERO { String::new() } else { format!("within {}", rounded(span)) };
        row.put(what.text(&self.first.what)).put(tag("td").text(who)).put(tag("td").class("soft").text(span))
    }

    /// To whom it happened; those with the same detail together.
    fn who(&self) -> String {
        let mut details: IndexMap<&str, IndexMap<&str, usize>> = IndexMap::new();
        for moment in &self.all {
            *details.entry(&moment.detail).or_default().entry(&moment.who).or_default() += 1;
        }
        let told = |(detail, who): (&&str, &IndexMap<&str, usize>)| {
            let times = |(who, count): (&&str, &usize)| {
                if *count > 1 { format!("{who} × {count}") } else { (*who).to_owned() }
            };
            let names = some(who.iter().map(times), who.len(), ", ");
            if detail.is_empty() { names } else { format!("{names} ({detail})") }
        };
        some(details.iter().map(told), details.len(), "; ")
    }
}

/// The first few of so many texts, and how many more there are.
fn some(texts: impl Iterator<Item = String>, count: usize, between: &str) -> String {
    let more = count.saturating_sub(NAMES);
    let more = (more > 0).then(|| format!("and {more} more"));
    texts.take(NAMES).chain(more).collect::<Vec<_>>().join(between)
}

/// A moment in seconds with three decimals.
pub(super) fn seconds(at: Instant) -> String {
    let millis = at.as_nanos() / 1_000_000;
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

fn rounded(span: Duration) -> Duration {
    Duration::from_millis(span.as_nanos().div_ceil(1_000_000))
}
