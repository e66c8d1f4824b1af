//! The folder of a run: `all.pcapng`, `rules/NODE.rules`, `run.json`. Each has its name only when it is whole.

use std::path::{Path, PathBuf};

use sim_core::capture::Hop;
use sim_core::capture::pcapng::PcapNg;
use sim_scenarios::report::Report;
use sim_scenarios::run::Run;

use crate::output::{Output, OutputError, prepare_folder, write_whole};
use crate::problem::{BAD_INPUT, Problem};

/// A folder that is being filled.
pub(super) struct Folder {
    path: PathBuf,
    capture: Capture,
}

/// The capture, which grows while the run goes on.
struct Capture {
    file: PcapNg<Output>,
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, before anything is run.
    ///
    /// # Errors
    /// It cannot be made or written to.
    pub(super) fn prepare(path: &Path) -> Result<Self, Problem> {
        let bad = |error: OutputError| Problem { exit: BAD_INPUT, ..error.into() };
        prepare_folder(&path.join("rules")).map_err(bad)?;
        let file = path.join("all.pcapng");
        let output = Output::create(&file).map_err(bad)?;
        let capture = PcapNg::new(output).map_err(|why| OutputError { path: file.clone(), why })?;
        Ok(Self { path: path.into(), capture: Capture { file: capture, path: file } })
    }

    /// Adds hops of `run` to the capture.
    ///
    /// # Errors
    /// What the system says, for example that the disk is full.
    pub(super) fn hops(&mut self, hops: &[Hop], run: &Run) -> Result<(), Problem> {
        let Capture { file, path } = &mut self.capture;
        for hop in hops {
            file.write(hop, || run.hop_name(hop)).map_err(|why| OutputError { path: path.clone(), why })?;
        }
        Ok(())
    }

    /// Leaves the capture readable under its partial name.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn interrupt(self) -> Result<(), Problem> {
        let Capture { file, path } = self.capture;
        file.finish().map_err(|why| OutputError { path, why })?;
        Ok(())
    }

    /// Gives the capture its name and writes the rest; `run.json` comes last, so that where it is, all is.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn finish(self, run: &Run, report: &mut Report) -> Result<(), Problem> {
        let Capture { file, path: capture } = self.capture;
        file.finish().map_err(|why| OutputError { path: capture.clone(), why })?.finish()?;
        let mut files = vec![capture];
        for node in &run.cluster().nodes {
            let path = self.path.join("rules").join(format!("{}.rules", node.name));
            write_whole(&path, run.world().iptables_save(node.netns, false).as_bytes())?;
            files.push(path);
        }
        let path = self.path.join("run.json");
        files.push(path.clone());
        report.files = files.iter().map(|file| file.display().to_string()).collect();
        write_whole(&path, super::json(report).as_bytes())?;
        Ok(())
    }
}
