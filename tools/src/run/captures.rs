//! Capture files of a run: `all.pcapng`, and with `--per-interface` one for every device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sim_core::capture::pcapng::PcapNg;
use sim_core::capture::{Filter, FilterError, Names, Seen};
use sim_core::engine::arena::{DevId, NetnsId};
use sim_scenarios::run::Run;

use crate::output::{Growing, OutputError, prepare_folder};
use crate::problem::{BAD_INPUT, Problem, excerpt};
use crate::terminal::{complain, printable};

/// How many bytes of `all.pcapng` are collected before they are written.
const ALL_AT: usize = 1 << 20;
/// The same for the file of one interface, of which there are many.
const ONE_AT: usize = 1 << 16;

/// What of a run is captured, and where to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Captures")]
pub(super) struct CaptureArgs {
    /// A folder for all.pcapng [default: that of --out]
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
    /// A file for every device, too, in the folder's interfaces/
    #[arg(long)]
    per_interface: bool,
    /// Which frames are kept, as for tcpdump; also pod, service, netns, dev, packet, dropped [default: all]
    #[arg(long, value_name = "EXPR", value_parser = filter)]
    capture_filter: Option<Filter>,
    /// How many bytes of each frame are kept [default: all]
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    snaplen: u32,
}

impl CaptureArgs {
    /// The folder asked for, beside that of `--out`.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.capture.as_deref()
    }
}

/// Reads the expression; what is wrong is shown with a mark under it.
fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text, &["pod", "service"]).map_err(|FilterError { column, message }| {
        let excerpt = excerpt(text, 1, column).unwrap_or_default().replace('\n', "\n  | ");
        printable(&format!("column {column}: {message}\n  | {excerpt}"))
    })
}

/// A capture being written.
pub(super) struct Captures {
    all: Sink,
    /// The files of interfaces, if they are wanted.
    each: Option<Each>,
    filter: Option<Filter>,
    snaplen: u32,
    comment: String,
}

/// One file.
struct Sink {
    blocks: PcapNg,
    /// The names it has been told.
    names: BTreeMap<IpAddr, String>,
    buffer: Vec<u8>,
    file: Growing,
}

/// A file for every interface.
struct Each {
    folder: PathBuf,
    sinks: BTreeMap<(NetnsId, Option<DevId>), Sink>,
    taken: BTreeSet<String>,
}

impl Captures {
    /// Begins the files, if any are asked for; `out` is the folder for everything.
    ///
    /// # Errors
    /// A folder or file cannot be written to; options without a folder.
    pub(super) fn begin(args: &CaptureArgs, out: Option<&Path>, run: &Run) -> Result<Option<Self>, Problem> {
        let Some(folder) = args.capture.as_deref().or(out) else {
            let idle = args.per_interface || args.snaplen != 0 || args.capture_filter.is_some();
            return if idle {
                Err(Problem::bad_input("there is no capture without --capture or --out"))
            } else {
                Ok(None)
            };
        };
        let bad = |error: OutputError| Problem { exit: BAD_INPUT, ..error.into() };
        prepare_folder(folder).map_err(bad)?;
        let each = args.per_interface.then(|| Each::prepare(folder)).transpose().map_err(bad)?;
        let comment = format!("seed {}", run.config().cluster.seed.0);
        let all = Sink::begin(&folder.join("all.pcapng"), args.snaplen, &comment, &run.names()).map_err(bad)?;
        let filter = args.capture_filter.clone();
        Ok(Some(Self { all, each, filter, snaplen: args.snaplen, comment }))
    }

    /// Adds what `run` saw.
    ///
    /// # Errors
    /// What the system says, for example that the disk is full.
    pub(super) fn add(&mut self, seen: &[Seen], run: &Run) -> Result<(), Problem> {
        if let Some(filter) = &mut self.filter {
            filter.resolve(|kind, name| run.ends(kind, name));
        }
        let names = run.names();
        self.sinks().for_each(|sink| sink.learn(&names));
        let filter = self.filter.as_ref();
        for seen in seen.iter().filter(|seen| filter.is_none_or(|filter| filter.accepts(seen, run.world()))) {
            self.all.add(seen, run, ALL_AT)?;
            if let Some(each) = &mut self.each {
                each.sink(seen, run, (self.snaplen, &self.comment))?.add(seen, run, ONE_AT)?;
            }
        }
        Ok(())
    }

    /// Leaves the files readable under their partial names.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn interrupt(mut self) -> Result<(), Problem> {
        self.sinks().try_for_each(Sink::flush).map_err(Problem::from)
    }

    /// Adds counts of drops and gives the files their names, which are told. A name in the filter that nothing ever had is
    /// told, too.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn finish(mut self, run: &Run) -> Result<Vec<PathBuf>, Problem> {
        let world = run.world();
        for named in self.filter.iter().flat_map(Filter::not_found) {
            complain(&format!("warning: --capture-filter: there was no {} {}\n", named.kind, named.name));
        }
        self.sinks().try_for_each(|sink| {
            sink.blocks.statistics(world.now(), world.drops(), &mut sink.buffer);
            sink.flush()
        })?;
        let each = self.each.map_or_else(BTreeMap::new, |each| each.sinks);
        let files = std::iter::once(self.all).chain(each.into_values());
        Ok(files.map(|sink| sink.file.finish()).collect::<Result<_, _>>()?)
    }

    fn sinks(&mut self) -> impl Iterator<Item = &mut Sink> {
        std::iter::once(&mut self.all).chain(self.each.iter_mut().flat_map(|each| each.sinks.values_mut()))
    }
}

impl Sink {
    fn begin(path: &Path, snaplen: u32, comment: &str, names: &BTreeMap<IpAddr, String>) -> Result<Self, OutputError> {
        let mut buffer = Vec::new();
        let blocks = PcapNg::begin(snaplen, comment, &mut buffer);
        let mut sink = Self { blocks, names: BTreeMap::new(), buffer, file: Growing::create(path)? };
        sink.learn(names);
        sink.flush()?;
        Ok(sink)
    }

    /// Takes up names that are new or have changed: pods come and go.
    fn learn(&mut self, names: &BTreeMap<IpAddr, String>) {
        let new: Vec<_> = names.iter().filter(|(ip, name)| self.names.get(ip) != Some(name)).collect();
        if !new.is_empty() {
            self.blocks.names(new.iter().map(|(ip, name)| (**ip, name.as_str())), &mut self.buffer);
            self.names.extend(new.into_iter().map(|(ip, name)| (*ip, name.clone())));
        }
    }

    fn add(&mut self, seen: &Seen, run: &Run, flush_at: usize) -> Result<(), OutputError> {
        self.blocks.write(seen, run.world(), &mut self.buffer);
        if self.buffer.len() >= flush_at { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Each {
    fn prepare(folder: &Path) -> Result<Self, OutputError> {
        let folder = folder.join("interfaces");
        prepare_folder(&folder)?;
        Ok(Self { folder, sinks: BTreeMap::new(), taken: BTreeSet::new() })
    }

    fn sink(&mut self, seen: &Seen, run: &Run, (snaplen, comment): (u32, &str)) -> Result<&mut Sink, OutputError> {
        let key = seen.tap();
        if !self.sinks.contains_key(&key) {
            let name = self.file_name(&run.world().tap(key.0, key.1).name);
            let sink = Sink::begin(&self.folder.join(name), snaplen, comment, &run.names())?;
            self.sinks.insert(key, sink);
        }
        Ok(self.sinks.get_mut(&key).expect("it is there now"))
    }

    /// `n1/cni0` as `n1_cni0.pcapng`: one plain word, and no file's name already.
    fn file_name(&mut self, tap: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let word: String = tap.chars().take(200).map(|c| if plain(c) { c } else { '_' }).collect();
        let numbered = (2..).map(|n| format!("{word}_{n}.pcapng"));
        let name = std::iter::once(format!("{word}.pcapng")).chain(numbered).find(|name| !self.taken.contains(name));
        let name = name.expect("numbers do not end");
        self.taken.insert(name.clone());
        name
    }
}
