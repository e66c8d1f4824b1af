//! Child processes: given a text, bounded in time and output, gone with this process.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use sim_core::engine::time::Duration;
use sim_scenarios::shell::Output;

use crate::clock;

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much a tool may say, in bytes.
const LONGEST: u64 = 16 << 20;

/// A command that the kernel kills when the thread that starts it is gone: a tool that waits does not outlive a SIGKILL of its
/// parent and keep a netns.
pub(crate) fn mortal(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(words);
    command
}

/// Runs `command` where the thread is, with `input`, to its end.
///
/// # Errors
/// The tool is not there, does not end, or says too much.
pub(crate) fn run(mut command: Command, input: &str) -> io::Result<Output> {
    let mut stdin = anonymous()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let mut stderr = anonymous()?;
    command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
    let spawned = command.spawn();
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", command.get_program().display()));
    let mut child = spawned.map_err(named)?;
    let stdout = read_to_end(&mut child);
    if stdout.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let mut complaint = Vec::new();
    stderr.rewind()?;
    stderr.take(LONGEST).read_to_end(&mut complaint)?;
    Ok(Output {
        status: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout?).into_owned(),
        stderr: String::from_utf8_lossy(&complaint).into_owned(),
    })
}

/// What a child says until it closes its output; its error output goes to a file and never blocks it.
fn read_to_end(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let Some(stdout) = child.stdout.as_mut() else { return Ok(out) };
    let end = clock::now() + PATIENCE;
    let mut buffer = [0; 65_536];
    loop {
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        let ready = match poll(&mut fds, PollTimeout::from(1000_u16)) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        if clock::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("a tool did not end in {PATIENCE}")));
        }
        if ready == 0 {
            continue;
        }
        let n = stdout.read(&mut buffer)?;
        if n == 0 {
            return Ok(out);
        }
        out.extend_from_slice(&buffer[..n]);
        if out.len() as u64 > LONGEST {
            return Err(io::Error::other(format!("a tool said more than {LONGEST} bytes")));
        }
    }
}

fn anonymous() -> io::Result<File> {
    Ok(File::from(memfd_create("everyhop", MFdFlags::MFD_CLOEXEC)?))
}
