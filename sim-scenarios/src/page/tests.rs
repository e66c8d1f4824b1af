use std::num::NonZeroU64;

use sim_core::engine::time::Instant;
use sim_k8s::manifest::SourceFile;

use super::moments::{Lane, Moment};
use super::*;
use crate::report::FailureReport;
use crate::run::{ClusterOptions, Scenario, VERSION};

const HELLO: &str = include_str!("../../../examples/hello/hello.yaml");

/// `hello` on two nodes for ten seconds, in which the pods behind its Service go away.
fn recipe() -> Recipe {
    let cluster = ClusterOptions { nodes: 2, zones: 2, ..ClusterOptions::default() };
    let faults = "- {at: 2s, do: delete a pod of deployment default/web}\n- {at: 5s, do: scale deployment web 0}\n";
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    Recipe {
        version: VERSION.into(),
        cluster,
        duration_ns: NonZeroU64::new(10_000_000_000).unwrap(),
        manifests: vec![file("hello.yaml", HELLO)],
        traffic: None,
        faults: Some(file("faults.yaml", faults)),
        fingerprint: None,
    }
}

/// A run that was recorded.
struct Recorded {
    recipe: Recipe,
    run: Run,
    report: Report,
    recording: Recording,
}

impl Recorded {
    fn of(recipe: Recipe) -> Self {
        let scenario: Scenario = recipe.scenario().unwrap();
        let mut run = scenario.run(true).unwrap();
        let mut recording = Recording::begin(&mut run, &[]);
        let mut more = true;
        while more {
            more = run.advance(1000);
            let seen = run.take_seen();
            recording.add(&mut run, seen);
        }
        let report = Report::of(&run, &scenario.loaded);
        Self { recipe, run, report, recording }
    }

    fn html(&self) -> String {
        let Self { recipe, run, report, recording } = self;
        let again = recipe.words().join(" ");
        Page { recipe, run, report, recording, again: &again }.html()
    }
}

/// The tags of a page in order, without what stands in and between them.
fn structure(html: &str) -> Vec<&str> {
    html.split('<').skip(1).filter_map(|rest| rest.split([' ', '>']).next()).collect()
}

/// What of a page is text: a line for each row, paragraph and title. Drawings, and the head of the document, left out.
fn text(html: &str) -> String {
    let body = html.split_once("<body>").unwrap().1;
    let mut out = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('<') {
        out += before;
        let (name, _) = after.split_once([' ', '>']).unwrap();
        let end = if name == "svg" { "</svg>" } else { ">" };
        out += match name {
            "/tr" | "/p" | "/h1" | "/h2" | "/h3" | "/h4" | "/dd" | "/li" | "/pre" | "/nav" | "/figcaption"
            | "/summary" => "\n",
            "/td" | "/th" | "/dt" | "/a" | "/span" | "/label" | "/b" | "span" | "code" => " | ",
            _ => "",
        };
        rest = after.split_once(end).unwrap().1;
    }
    let lines = out.lines().map(|line| line.trim_matches([' ', '|'])).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_page_tells_all_of_a_run_as_text() {
    let recorded = Recorded::of(recipe());
    let html = recorded.html();
    insta::assert_snapshot!(text(&html));
    assert_eq!(html, Recorded::of(recipe()).html(), "equal runs have equal pages");
    assert!(html.len() < 150_000, "{}", html.len());
}

#[test]
fn hostile_names_change_no_tag_of_the_page() {
    let mut recorded = Recorded::of(recipe());
    recorded.report.edges[0].failures.truncate(1);
    let plain = recorded.html();
    let hostile = "</style></title><script>alert(1)</script>\"><img src=x onerror='alert(2)'>\u{202e}\u{0}";
    let report = &mut recorded.report;
    report.edges[0].from = hostile.into();
    report.edges[0].failures[0] = FailureReport { reason: hostile.into(), place: hostile.into(), count: 7 };
    report.services[0].service = hostile.into();
    report.fingerprint = hostile.into();
    recorded.recipe.version = hostile.into();
    recorded.recipe.manifests[0].name = hostile.into();
    recorded.recipe.faults.as_mut().unwrap().name = hostile.into();
    for moment in recorded.recording.moments.iter_mut().filter(|moment| moment.lane == Lane::Pods) {
        moment.who = hostile.into();
        moment.detail = hostile.into();
    }
    let attacked = recorded.html();
    assert!(structure(&attacked) == structure(&plain));
    assert!(!attacked.contains("<script") && !attacked.contains("<img") && !attacked.contains('\u{202e}'));
    assert!(attacked.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "they are shown");
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let html = Recorded::of(recipe()).html();
    assert!(html.contains("content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;; img-src data:\""));
    let html = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    let loads = ["http://", "https://", "src=", "url(", "@import", "<link", "<iframe", "<script", "javascript:"];
    assert_eq!(loads.map(|load| html.matches(load).count()), [0; 9]);
}

#[test]
fn however_much_happened_the_page_is_bounded_and_says_what_is_missing() {
    let mut recorded = Recorded::of(recipe());
    let edge = recorded.report.edges[0].clone();
    recorded.report.edges = vec![edge; 20_000];
    recorded.report.warnings = (0..20_000).map(|n| format!("warning {n}")).collect();
    let moment = |n: u64| Moment {
        at: Instant::from_nanos(n * 500_000),
        lane: Lane::Pods,
        who: format!("pod default/web-{n}"),
        what: format!("scheduled to n{n}"),
        detail: String::new(),
        bad: false,
    };
    recorded.recording.moments = (0..20_000).map(moment).collect();
    let html = recorded.html();
    assert!(html.len() < 1_500_000, "{}", html.len());
    for told in [
        "19,500 more edges are left out",
        "more rows, of those without trouble the latest, are left out",
        "and 19900 more",
    ] {
        assert!(html.contains(told), "{told}");
    }
}
