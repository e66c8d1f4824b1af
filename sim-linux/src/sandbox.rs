//! Namespaces of a thread's own, and the netns that are made in them.
//!
//! A netns lives as long as something holds it. Here that is a file descriptor and what runs or is open inside: no name in the
//! machine's `/run/netns`, no mount. For tools that want a name (`ip link add … netns NAME`) there is a private `/run`
//! with links to those descriptors.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns, unshare};
use nix::unistd::Pid;

use crate::Unavailable;
use crate::stock::{Netns, Stock};
use crate::tools::run;

/// The thread's own namespaces. Only the thread that entered may use it.
pub(crate) struct Sandbox {
    /// Where tools look for the names of netns.
    names: PathBuf,
    /// The empty netns that the thread is in between two specs.
    home: File,
    stock: Stock,
    /// What is entered belongs to the thread.
    thread: std::marker::PhantomData<*const ()>,
}

impl Sandbox {
    /// Moves the calling thread into a new netns and new mounts, and onto one CPU, the `worker`-th it may use: events of one
    /// CPU have one order. There is no way back.
    pub(crate) fn enter(worker: usize) -> Result<Self, Unavailable> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Unavailable(format!("{what}: {error}"))
        };
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
            .map_err(|e| failed("namespaces of its own (root is needed)")(e.into()))?;
        let nothing: Option<&str> = None;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
            .map_err(|e| failed("mounts of its own")(e.into()))?;
        let run = fs::canonicalize("/var/run").map_err(failed("/var/run"))?;
        mount(Some("tmpfs"), &run, Some("tmpfs"), MsFlags::empty(), Some("size=16m,mode=0755"))
            .map_err(|e| failed("a private /run")(e.into()))?;
        let names = run.join("netns");
        fs::create_dir(&names).map_err(failed("a private /run/netns"))?;
        // The threads of the stock may be on any CPU.
        let stock = Stock::open();
        stay_on_one_cpu(worker).map_err(|e| failed("staying on one CPU")(e.into()))?;
        go_first();
        let home = File::open("/proc/thread-self/ns/net").map_err(failed("its own netns"))?;
        Ok(Self { names, home, stock, thread: std::marker::PhantomData })
    }

    /// Moves the thread out of whatever netns it is in.
    pub(crate) fn go_home(&self) {
        // It came from there: it may go there.
        let _ = setns(&self.home, CloneFlags::CLONE_NEWNET);
    }

    /// Takes a netns that tools find by `name` from now on, and moves the thread there.
    pub(crate) fn add(&self, name: &str) -> io::Result<Netns> {
        let netns = self.stock.take()?;
        let target = format!("/proc/{}/fd/{}", std::process::id(), netns.file.as_raw_fd());
        symlink(Path::new(&target), self.names.join(name))?;
        netns.enter()?;
        Ok(netns)
    }

    /// Lets go of the netns that tools find by `name`. The thread is not there.
    pub(crate) fn remove(&self, name: &str, netns: Netns) {
        // A link that cannot be removed goes with the thread's mounts.
        let _ = fs::remove_file(self.names.join(name));
        self.stock.give_back(netns);
    }
}

fn stay_on_one_cpu(worker: usize) -> nix::Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
    let mut one = CpuSet::new();
    one.set(cpus[worker % cpus.len().max(1)])?;
    sched_setaffinity(this, &one)
}

/// Lets the thread go before others who want its CPU: on a busy machine a step would begin when its timers are due already.
/// Where that is not allowed it waits its turn.
fn go_first() {
    let thread = nix::unistd::gettid().to_string();
    let mut command = Command::new("chrt");
    command.args(["--rr", "--reset-on-fork", "--pid", "1", &thread]);
    let _ = run(command, "");
}
