//! `everyhop rules` as a user meets it, and as the real tools do.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/manifests/");

fn everyhop(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).arg("rules").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example() -> String {
    format!("{EXAMPLES}shop/shop.yaml")
}

/// What the tool says to `rules` in a netns of its own; `None` where it cannot be asked.
fn refused_by(tool: &str, rules: &[u8]) -> Option<String> {
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &format!("mount -t tmpfs tmpfs /run && {script}")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().ok()?;
        // A shell that ended early has said why.
        let _ = child.stdin.take()?.write_all(if script.contains("--test") { rules } else { b"" });
        child.wait_with_output().ok()
    };
    if !shell(&format!("{} >&2", tool.replace("restore", "save"))).is_some_and(|probe| probe.status.success()) {
        eprintln!("skipped: no netns with {tool} to be had");
        return None;
    }
    let tried = shell(&format!("{tool} --test"))?;
    Some(if tried.status.success() { String::new() } else { format!("refused: {}", text(&tried.stderr)) })
}

#[test]
fn the_real_tools_take_every_nodes_rules() {
    let mut manifests = vec![example(), format!("{EXAMPLES}hello")];
    for shared in ["online-boutique/kubernetes-manifests.yaml", "guestbook"].map(|name| format!("{SHARED}{name}")) {
        if Path::new(&shared).exists() {
            manifests.push(shared);
        } else {
            eprintln!("skipped: {shared} is not there");
        }
    }
    for (manifest, node) in manifests.iter().flat_map(|manifest| ["n1", "n2"].map(|node| (manifest, node))) {
        let printed = everyhop(&[manifest, "--node", node]);
        assert_eq!((printed.status.code(), text(&printed.stderr)), (Some(0), String::new()), "{manifest}");
        for tool in ["iptables-nft-restore", "iptables-legacy-restore"] {
            assert_eq!(refused_by(tool, &printed.stdout).unwrap_or_default(), "", "{manifest} {node} {tool}");
        }
    }
    let broken = refused_by("iptables-nft-restore", b"*nat\n-A OUTPUT --nonsense\nCOMMIT\n");
    assert!(broken.is_none_or(|said| said.starts_with("refused")), "the judge does judge");
}

#[test]
fn the_real_tools_take_the_rules_of_each_family() {
    let dual = format!("{EXAMPLES}dual");
    for (family, tool) in [("4", "iptables"), ("6", "ip6tables")] {
        let printed = everyhop(&[&dual, "--node", "n1", "--ip-family", "dual", "--family", family]);
        assert_eq!((printed.status.code(), text(&printed.stderr)), (Some(0), String::new()), "{family}");
        let rules = text(&printed.stdout);
        assert!(rules.contains("\"default/web cluster IP\""), "{rules}");
        assert_eq!(rules.contains("\"default/web-v6 cluster IP\""), family == "6", "{rules}");
        for backend in ["nft", "legacy"] {
            let tool = format!("{tool}-{backend}-restore");
            assert_eq!(refused_by(&tool, &printed.stdout).unwrap_or_default(), "", "{tool}");
        }
    }
}

#[test]
fn rules_hold_all_tables_and_every_agents_chains() {
    let printed = text(&everyhop(&[&example(), "--node", "n1"]).stdout);
    for part in ["*nat", "*filter", "*mangle", "KUBE-SERVICES", "FLANNEL-POSTRTG", "-A KUBE-SEP-"] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    let json: Value = serde_json::from_slice(&everyhop(&[&example(), "--node", "n1", "--json"]).stdout).unwrap();
    assert_eq!((json["node"].as_str(), json["rules"].as_str()), (Some("n1"), Some(printed.as_str())));
}

#[test]
fn bad_usage_exits_with_2_and_says_what_there_is() {
    let shop = example();
    let cases: [(&[&str], &str); 5] = [
        (&[&shop], "--node <NAME>"),
        (&[&shop, "--node", "n4"], "the cluster has n1, n2, n3;"),
        (&[&shop, "--node", "n1", "--nodes", "0"], "--nodes"),
        (&["nowhere.yaml", "--node", "n1"], "cannot read nowhere.yaml"),
        (&[&shop, "--node", "a\u{1b}[31m"], r"there is no node a\u{1b}[31m"),
    ];
    for (words, part) in cases {
        let refused = everyhop(words);
        let complaint = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{words:?}: {complaint}");
        assert!(complaint.contains(part) && !complaint.contains('\u{1b}'), "{words:?}: {complaint}");
    }
}
