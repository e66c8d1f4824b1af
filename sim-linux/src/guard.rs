//! What a spec may not ask of this machine.
//!
//! Specs come from anywhere, and their tools run as root. Inside their netns they may do what they like; outside they reach
//! nothing: no file, no program of their choice, no process and no netns that is not theirs.

/// The tools that a step may run, by their first word.
const TOOLS: [&str; 13] = [
    "arp",
    "bridge",
    "cat",
    "conntrack",
    "ip",
    "ip6tables",
    "ip6tables-save",
    "ipset",
    "iptables",
    "iptables-save",
    "nstat",
    "ss",
    "sysctl",
];

/// What `ip` may be asked about. `netns exec` and `vrf exec` would run any program; `ip` knows abbreviations of all of them.
const IP_OBJECTS: [&str; 22] = [
    "a",
    "addr",
    "addrlabel",
    "address",
    "l",
    "link",
    "maddr",
    "maddress",
    "mroute",
    "mrule",
    "n",
    "neigh",
    "neighbor",
    "neighbour",
    "nexthop",
    "ntable",
    "r",
    "ro",
    "route",
    "rule",
    "tcp_metrics",
    "tunnel",
];

/// Checks the words of a step's command.
///
/// # Errors
/// What they may not say, and why.
pub fn command(words: &[&str], netns: &[&str]) -> Result<(), String> {
    let [tool, rest @ ..] = words else { return Err("a command without a word".into()) };
    if !TOOLS.contains(tool) {
        return Err(format!("{tool:?} is none of the tools that may be run: {}", TOOLS.join(", ")));
    }
    match *tool {
        "cat" => rest.iter().try_for_each(|path| readable(path)),
        "ip" => ip(rest, netns),
        // -b reads a file of commands, -n names a netns by a path.
        "bridge" => no_option(rest, &["-b", "-n"]),
        // -f reads its commands from a file.
        "ipset" | "nstat" => no_option(rest, &["-f", "--f"]),
        // -K closes sockets of its netns only; -N names another netns, -F a file, -D writes one.
        "ss" => no_option(rest, &["-N", "--net", "-F", "--filter", "-D", "--diag"]),
        "sysctl" => sysctl_words(rest),
        "conntrack" => no_option(rest, &["-R", "--load-file"]),
        "arp" => no_option(rest, &["-f", "--file"]),
        _ => rules(&rest.join(" ")),
    }
}

/// Checks one line for `ip -batch`.
///
/// # Errors
/// What it may not say, and why.
pub fn ip_line(line: &str, netns: &[&str]) -> Result<(), String> {
    ip(&line.split_whitespace().collect::<Vec<_>>(), netns)
}

fn ip(words: &[&str], netns: &[&str]) -> Result<(), String> {
    const OPTIONS: [&str; 12] =
        ["-4", "-6", "-br", "-brief", "-d", "-details", "-j", "-json", "-o", "-oneline", "-s", "-N"];
    let object = words.iter().find(|word| !OPTIONS.contains(word));
    match object {
        None => return Ok(()),
        Some(object) if IP_OBJECTS.contains(object) => {}
        Some(other) => return Err(format!("ip {other:?}: neither an option nor an object that may be named")),
    }
    // A number after `netns` is a process, whose netns may be the machine's.
    let named = words.windows(2).filter(|pair| pair[0] == "netns").map(|pair| pair[1]);
    for name in named {
        if !netns.contains(&name) {
            return Err(format!("ip … netns {name:?}: not a netns of this spec"));
        }
    }
    Ok(())
}

/// Checks a text for `iptables-restore`, or the words of `iptables`.
///
/// # Errors
/// What it may not say, and why.
pub fn rules(text: &str) -> Result<(), String> {
    // The program that loads modules can be chosen by an option, which may be abbreviated.
    let chooses_program =
        |word: &&str| word.starts_with("-M") || word.starts_with("--modp") || matches!(*word, "--mo" | "--mod");
    match text.split_whitespace().find(chooses_program) {
        Some(word) => Err(format!("{word:?} would run a program")),
        None => Ok(()),
    }
}

/// The file of a sysctl. Dots and slashes stand for each other as in sysctl(8), whichever comes first separates.
///
/// # Errors
/// A key that is not one of the network's.
pub fn sysctl_path(key: &str) -> Result<String, String> {
    let refused = || format!("sysctl {key:?}: only net.* is a netns' own");
    let separator = key.find(['.', '/']).map(|at| key.as_bytes()[at]).ok_or_else(refused)?;
    let swapped = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if separator == b'.' { key.chars().map(swapped).collect() } else { key.to_owned() };
    let mut names = path.split('/');
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if names.next() != Some("net") || !path.split('/').all(plain) {
        return Err(refused());
    }
    Ok(format!("/proc/sys/{path}"))
}

fn sysctl_words(words: &[&str]) -> Result<(), String> {
    for word in words.iter().filter(|word| !matches!(**word, "-w" | "-n" | "-q" | "-e" | "-a")) {
        sysctl_path(word.split('=').next().unwrap_or_default())?;
    }
    Ok(())
}

fn readable(path: &str) -> Result<(), String> {
    let inside = ["/proc/net/", "/proc/sys/net/", "/sys/class/net/"].iter().any(|folder| path.starts_with(folder));
    if inside && !path.split('/').any(|name| name == "..") {
        return Ok(());
    }
    Err(format!("cat {path:?}: not a file of a netns"))
}

fn no_option(words: &[&str], refused: &[&str]) -> Result<(), String> {
    match words.iter().find(|word| refused.iter().any(|option| word.starts_with(option))) {
        Some(word) => Err(format!("{word:?} reaches beyond the netns")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_words_pass() {
        for words in [
            &["ip", "route", "show", "cache"][..],
            &["ip", "-6", "route", "get", "fd00::1"],
            &["ip", "link", "set", "eth0", "netns", "b"],
            &["conntrack", "-D", "-p", "udp", "--orig-dst", "10.96.0.10"],
            &[
                "iptables",
                "-t",
                "nat",
                "-A",
                "OUTPUT",
                "-m",
                "statistic",
                "--mode",
                "nth",
                "--every",
                "2",
                "-j",
                "ACCEPT",
            ],
            &["cat", "/sys/class/net/eth0/mtu"],
            &["sysctl", "-w", "net.ipv4.ip_forward=1"],
        ] {
            assert_eq!(command(words, &["a", "b"]), Ok(()), "{words:?}");
        }
    }

    #[test]
    fn what_reaches_beyond_a_netns_is_refused() {
        for words in [
            &["sh", "-c", "id"][..],
            &["ip", "netns", "exec", "b", "id"],
            &["ip", "-br", "netn", "exec", "b", "id"],
            &["ip", "vrf", "exec", "b", "id"],
            &["ip", "-batch", "/etc/shadow"],
            &["ip", "link", "set", "eth0", "netns", "1"],
            &["ip6tables", "--modprobe=/bin/id", "-L"],
            &["cat", "/proc/net/../../etc/shadow"],
            &["sysctl", "-p", "/etc/shadow"],
            &["sysctl", "kernel.hostname=x"],
            &["ss", "-D", "/etc/x"],
        ] {
            assert!(command(words, &["a", "b"]).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_sysctls_dots_and_slashes_stand_for_each_other_and_lead_nowhere_else() {
        let path = |key| sysctl_path(key).ok();
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Some("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(path("net/ipv4/conf/a.b/rp_filter").as_deref(), Some("/proc/sys/net/ipv4/conf/a.b/rp_filter"));
        assert_eq!(
            path("net.ipv4.conf.flannel/1.rp_filter").as_deref(),
            Some("/proc/sys/net/ipv4/conf/flannel.1/rp_filter")
        );
        for key in ["net", "kernel.hostname", "net.//.kernel.hostname", "net/../kernel/hostname", "net..x", ""] {
            assert_eq!(path(key), None, "{key}");
        }
    }
}
