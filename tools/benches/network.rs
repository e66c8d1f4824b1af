//! How fast the emulator is. Read the figures of one run against each other: another machine has others.
//!
//! `cargo bench -p everyhop`: `run` is examples/shop, with and without taps; `capture` writes what the taps saw of it, by our
//! encoder, which makes the words of the comments, and by pcap-file, which is given them.

use std::borrow::Cow;
use std::hint::black_box;
use std::num::NonZeroU64;

use criterion::{BenchmarkId, Criterion, Throughput};
use pcap_file::pcapng::{Block, PcapNgParser, PcapNgWriter};
use sim_core::capture::Seen;
use sim_core::capture::pcapng::PcapNg;
use sim_k8s::manifest::SourceFile;
use sim_scenarios::run::{ClusterOptions, Recipe, Run, Scenario, VERSION};

const SHOP: &str = include_str!("../../examples/shop/shop.yaml");
/// Events that are benched: the cluster comes up, and calls are made.
const EVENTS: u64 = 20_000;

fn shop() -> Scenario {
    let cluster = ClusterOptions::default();
    let recipe = Recipe {
        version: VERSION.into(),
        cluster,
        duration_ns: NonZeroU64::new(30_000_000_000).expect("not zero"),
        manifests: vec![SourceFile { name: "shop.yaml".into(), text: SHOP.into() }],
        traffic: None,
        faults: None,
        fingerprint: None,
    };
    recipe.scenario().expect("the example is valid")
}

fn played(shop: &Scenario, capture: bool) -> Run {
    let mut run = shop.run(capture).expect("the example fits on three nodes");
    run.advance(EVENTS);
    run
}

fn run(criterion: &mut Criterion) {
    let shop = shop();
    let mut group = criterion.benchmark_group("run");
    group.sample_size(20);
    group.throughput(Throughput::Elements(played(&shop, false).world().hop_count()));
    for (name, capture) in [("taps off", false), ("taps on", true)] {
        group.bench_function(name, |bench| bench.iter(|| black_box(played(&shop, capture))));
    }
    group.finish();
}

fn capture(criterion: &mut Criterion) {
    let mut run = played(&shop(), true);
    let decided = run.take_seen();
    let bare: Vec<Seen> = decided.iter().cloned().map(without_decisions).collect();
    let mut group = criterion.benchmark_group("capture");
    for (kind, seen) in [("frames", &bare), ("frames with comments", &decided)] {
        let file = encoded(seen, &run, Vec::new());
        group.throughput(Throughput::Bytes(file.len() as u64));
        let mut out = Vec::with_capacity(file.len());
        group.bench_function(BenchmarkId::new("everyhop", kind), |bench| {
            bench.iter(|| out = black_box(encoded(seen, &run, std::mem::take(&mut out))));
        });
        let blocks = read(&file, seen);
        group.bench_function(BenchmarkId::new("pcap-file", kind), |bench| {
            bench.iter(|| out = black_box(written(&blocks, std::mem::take(&mut out))));
        });
    }
    group.finish();
}

fn without_decisions(mut seen: Seen) -> Seen {
    match &mut seen {
        Seen::Hop(hop) => hop.decisions.clear(),
        Seen::Loss(loss) => loss.decisions.clear(),
    }
    seen
}

fn encoded(seen: &[Seen], run: &Run, mut out: Vec<u8>) -> Vec<u8> {
    out.clear();
    let mut file = PcapNg::begin(0, "", &mut out);
    seen.iter().for_each(|seen| file.write(seen, run.world(), &mut out));
    out
}

/// The blocks of a file behind its header. Frames lie where those lie that our encoder is given.
fn read<'f>(file: &'f [u8], seen: &'f [Seen]) -> Vec<Block<'f>> {
    let (mut rest, mut parser) = PcapNgParser::new(file).expect("a file of ours");
    let (mut blocks, mut frames) = (Vec::new(), seen.iter().map(Seen::frame));
    while !rest.is_empty() {
        let (left, mut block) = parser.next_block(rest).expect("a file of ours");
        if let Block::EnhancedPacket(packet) = &mut block {
            packet.data = Cow::Borrowed(frames.next().expect("a packet for each that was seen"));
        }
        blocks.push(block);
        rest = left;
    }
    blocks
}

fn written(blocks: &[Block<'_>], mut out: Vec<u8>) -> Vec<u8> {
    out.clear();
    let mut writer = PcapNgWriter::new(out).expect("memory takes all");
    for block in blocks {
        writer.write_block(block).expect("memory takes all");
    }
    writer.into_inner()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    run(&mut criterion);
    capture(&mut criterion);
    criterion.final_summary();
}
