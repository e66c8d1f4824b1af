//! Commands put to the real tools, in a netns that goes away with the shell.

use std::process::{Command as Process, Output, Stdio};

use super::Command;

/// The two implementations of the iptables tools.
pub(crate) const FLAVOURS: [&str; 2] = ["nft", "legacy"];

/// Runs `commands` and then the shell lines `then` in a fresh netns; its standard output.
///
/// `None`, and a word on stderr, where that cannot be done: not root, or a tool is missing.
pub(crate) fn run(flavour: &str, commands: &[Command], then: &str) -> Option<String> {
    let tool = format!("iptables-{flavour}");
    let probe = format!("ip link && bridge link && {tool} -t nat -S");
    if !shell(&probe).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no netns with ip, bridge and {tool} to be had");
        return None;
    }
    let mut script = String::from("set -e\n");
    for command in commands {
        script += &format!("{command}\n");
    }
    script += then;
    for tool in ["iptables", "ip6tables"] {
        for (word, rest) in [(" ", ""), ("-restore ", "-restore"), ("-save ", "-save")] {
            script = script.replace(&format!("{tool}{word}"), &format!("{tool}-{flavour}{rest} "));
        }
    }
    let output = shell(&script).expect("the probe ran");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} refused: {stderr}\n{script}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shell(script: &str) -> std::io::Result<Output> {
    // A /run of its own: iptables-legacy's lock and the names of netns are there, and both would be the machine's.
    let script = format!("mount -t tmpfs tmpfs /run || exit\n{script}");
    Process::new("unshare").args(["--net", "--mount", "sh", "-c", &script]).stdin(Stdio::null()).output()
}
