//! Captures of `everyhop run`, read by Wireshark.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const HELLO: &str = include_str!("../../examples/hello/hello.yaml");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).arg("run").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example(name: &str) -> String {
    format!("{ROOT}/examples/{name}")
}

fn has_tshark() -> bool {
    let found = Command::new("tshark").arg("--version").output();
    found.map_err(|why| eprintln!("skipped: tshark: {why}")).is_ok()
}

/// What tshark prints and complains of, with VXLAN decoded, every checksum checked, and the repository's profile at hand.
fn tshark(file: &Path, words: &[&str]) -> (String, String) {
    let config = tempfile::tempdir().unwrap();
    let profile = config.path().join("profiles/everyhop");
    fs::create_dir_all(&profile).unwrap();
    for entry in fs::read_dir(format!("{ROOT}/wireshark/everyhop")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), profile.join(entry.file_name())).unwrap();
    }
    let mut command = Command::new("tshark");
    command.env("WIRESHARK_CONFIG_DIR", config.path()).arg("-r").arg(file).args(["-d", "udp.port==8472,vxlan"]);
    command.args(["ip", "tcp", "udp"].map(|protocol| format!("-o{protocol}.check_checksum:TRUE")));
    command.arg("-osctp.checksum:crc-32c");
    let out = command.args(words).output().unwrap();
    let complaints: Vec<_> =
        text(&out.stderr).lines().filter(|line| !line.starts_with("Running as user")).map(str::to_owned).collect();
    assert!(out.status.success(), "{}: {complaints:?}", file.display());
    (text(&out.stdout), complaints.join("\n"))
}

/// One field of the frames that fit a display filter, a line a frame.
fn field(file: &Path, filter: &str, field: &str) -> Vec<String> {
    let (read, complaints) = tshark(file, &["-n", "-Y", filter, "-T", "fields", "-e", field]);
    assert_eq!(complaints, "", "{}", file.display());
    read.lines().map(str::to_owned).collect()
}

/// A run with its capture in `out/`.
fn captured(words: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ran = everyhop(folder.path(), &[words, &["--capture", "out"]].concat());
    assert!(ran.status.code() != Some(2), "{}", text(&ran.stderr));
    folder
}

const WRONG: &str = "_ws.malformed || _ws.expert.severity == error \
                     || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
                     || sctp.checksum.status == 0";

#[test]
fn wireshark_finds_nothing_wrong_with_any_traffic() {
    if !has_tshark() {
        return;
    }
    let nobody = tempfile::tempdir().unwrap();
    let nobody = nobody.path().join("hello.yaml");
    fs::write(&nobody, HELLO.replace("replicas: 2", "replicas: 0")).unwrap();
    let [hello, sctp, shop, traffic] =
        ["hello/hello.yaml", "sctp/sctp.yaml", "shop/shop.yaml", "traffic/shop.yaml"].map(example);
    for words in
        [&[hello.as_str()][..], &[&sctp], &[&shop], &[&shop, "--traffic", &traffic], &[nobody.to_str().unwrap()]]
    {
        let run = captured(words);
        assert_eq!(field(&run.path().join("out/all.pcapng"), WRONG, "frame.number"), [""; 0], "{words:?}");
    }
}

#[test]
fn each_device_by_itself_shows_clean_connections() {
    if !has_tshark() {
        return;
    }
    let run = captured(&[&example("shop/shop.yaml"), "--duration", "3s", "--nodes", "2", "--per-interface"]);
    let noticed = "_ws.expert.severity >= 0x600000 || tcp.analysis.flags || ip.checksum.status == 0";
    let (mut files, mut frames) = (0, 0);
    for entry in fs::read_dir(run.path().join("out/interfaces")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(field(&path, noticed, "frame.number"), [""; 0], "{}", path.display());
        files += 1;
        frames += field(&path, "frame", "frame.number").len();
    }
    assert!(files > 20, "{files} files");
    assert_eq!(
        frames,
        field(&run.path().join("out/all.pcapng"), "frame", "frame.number").len(),
        "each frame in one file"
    );
}

#[test]
fn one_packet_is_followed_through_dnat_and_vxlan_by_its_id() {
    if !has_tshark() {
        return;
    }
    let run = captured(&[&example("shop/shop.yaml")]);
    let all = run.path().join("out/all.pcapng");
    let through = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && vxlan && frame.comment contains \"vxlan: VNI 1\"";
    let id = &field(&all, through, "frame.packet_id")[0];
    let row = |name: &str| field(&all, &format!("frame.packet_id == {id}"), name);
    let (devs, to, comments) = (row("frame.interface_name"), row("ip.dst"), row("frame.comment"));
    let (first, last) = (devs.first().unwrap(), devs.last().unwrap());
    assert!(first.starts_with("shop/") && last.starts_with("shop/") && first != last, "{devs:?}");
    for kind in ["/veth", "/cni0", "/flannel.1", "/eth0"] {
        assert!(devs.iter().filter(|dev| dev.contains(kind)).count() >= 2, "{kind} of both nodes: {devs:?}");
    }
    assert!(to[0].starts_with("10.96.") && to.last().unwrap().starts_with("10.244."), "{to:?}");
    assert!(
        to.iter().any(|to| to.starts_with("10.240.") && to.contains(",10.244.")),
        "inside its outer header: {to:?}"
    );
    let all_comments = comments.join("\n");
    for decided in [
        "PREROUTING conntrack: NEW",
        "PREROUTING nat KUBE-SEP-",
        "-j DNAT --to-destination 10.244.",
        "PREROUTING nat: destination 10.96.",
        "route: via 10.244.",
        "POSTROUTING conntrack: confirmed",
        "bridge: to port veth",
        ",event ",
    ] {
        assert!(all_comments.contains(decided), "{decided} in {all_comments}");
    }
}

#[test]
fn a_refused_call_is_seen_where_it_was_dropped_and_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.yaml"), HELLO.replace("replicas: 2", "replicas: 0")).unwrap();
    let ran =
        everyhop(folder.path(), &["hello.yaml", "--nodes", "1", "--capture", "out", "--capture-filter", "dropped"]);
    assert_eq!(ran.status.code(), Some(1));
    if !has_tshark() {
        return;
    }
    let all = folder.path().join("out/all.pcapng");
    let (read, _) = tshark(
        &all,
        &[
            "-C",
            "everyhop",
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "frame.verdict.ebpf_tc",
            "-e",
            "frame.coloring_rule.name",
            "-e",
            "frame.comment",
            "--color",
        ],
    );
    // Another is dropped while the cluster comes up: a broadcast for a pod whose device is not up yet.
    let refused: Vec<&str> = read.lines().filter(|line| line.contains("10.96.1.1")).collect();
    assert_eq!(refused.len(), 15, "{read}");
    for line in refused {
        for told in [
            "n1/cni0\t2\tDropped\t",
            "default/web has no endpoints",
            "-j REJECT",
            "dropped: NETFILTER_REJECT at FORWARD",
        ] {
            assert!(line.contains(told), "{told} in {line}");
        }
    }
}

#[test]
fn the_profile_has_the_columns_and_the_names() {
    if !has_tshark() {
        return;
    }
    let run = captured(&[&example("hello/hello.yaml"), "--duration", "3s"]);
    let (read, complaints) = tshark(&run.path().join("out/all.pcapng"), &["-C", "everyhop", "-Y", "http.request"]);
    assert_eq!(complaints, "");
    let line = read
        .lines()
        .find(|line| line.contains(" n") && line.contains("GET / HTTP"))
        .unwrap_or_else(|| panic!("{read}"));
    for told in ["default/client-", " → ", "GET / HTTP/1.1"] {
        assert!(line.contains(told), "{told} in {line}");
    }
    assert!(read.contains("web.default.svc"), "the Service by its name: {read}");
}

/// Our filter keeps what Wireshark's display filter of the same meaning shows of all.
#[test]
fn a_filter_keeps_what_wireshark_shows_of_all() {
    if !has_tshark() {
        return;
    }
    let manifest = example("shop/shop.yaml");
    let words = [manifest.as_str(), "--duration", "3s"];
    let all = captured(&words);
    let all = all.path().join("out/all.pcapng");
    let pod = field(&all, "frame.interface_name contains \"shop/db-0\"", "frame.interface_name")[0].clone();
    assert_eq!(pod, "shop/db-0/eth0");
    let ip = &field(&all, "tcp.srcport == 5432 && frame.interface_name == \"shop/db-0/eth0\"", "ip.src")[0];
    for (ours, theirs) in [
        ("tcp", "tcp".to_owned()),
        ("udp and not vxlan", "udp && !vxlan".to_owned()),
        ("tcp port 5432 or arp", "tcp.port == 5432 || arp".to_owned()),
        ("tcp src port 5432", "tcp.srcport == 5432".to_owned()),
        (
            "net 10.240.0.0/24",
            "ip.addr == 10.240.0.0/24 || arp.src.proto_ipv4 == 10.240.0.0/24 || arp.dst.proto_ipv4 == 10.240.0.0/24"
                .to_owned(),
        ),
        ("dst host 10.240.0.12", "ip.dst == 10.240.0.12 || arp.dst.proto_ipv4 == 10.240.0.12".to_owned()),
        (
            "vxlan and not (src net 10.244.1.0/24 or tcp port 7001)",
            "vxlan && !(ip.src == 10.244.1.0/24 || tcp.port == 7001)".to_owned(),
        ),
        ("dev flannel.1", "frame.interface_name matches \"/flannel.1$\"".to_owned()),
        (
            "netns n2 and outbound",
            "frame.interface_name matches \"^n2/\" && frame.packet_flags_direction == 2".to_owned(),
        ),
        ("greater 200", "frame.len >= 200".to_owned()),
        ("broadcast", "eth.dst == ff:ff:ff:ff:ff:ff".to_owned()),
        ("packet 20", "frame.packet_id == 20".to_owned()),
        ("pod shop/db-0", format!("ip.addr == {ip} || arp.src.proto_ipv4 == {ip} || arp.dst.proto_ipv4 == {ip}")),
    ] {
        let kept = captured(&[&words[..], &["--capture-filter", ours]].concat());
        let times = |file: &Path, filter: &str| field(file, filter, "frame.time_epoch");
        let (kept, shown) = (times(&kept.path().join("out/all.pcapng"), "frame"), times(&all, &theirs));
        assert!(!kept.is_empty(), "{ours}");
        assert_eq!(kept, shown, "{ours}");
    }
}

#[test]
fn a_service_is_followed_from_its_address_to_its_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = example("shop/shop.yaml");
    let ran = everyhop(
        folder.path(),
        &[&manifest, "--capture", "out", "--capture-filter", "service shop/db or pod none/here", "--snaplen", "104"],
    );
    assert_eq!(text(&ran.stderr), "warning: --capture-filter: there was no pod none/here\n");
    if !has_tshark() {
        return;
    }
    let all = folder.path().join("out/all.pcapng");
    let ports = field(&all, "frame", "tcp.port");
    assert!(ports.len() > 100 && ports.iter().all(|ports| ports.split(',').any(|port| port == "5432")));
    assert!(field(&all, "frame", "frame.cap_len").iter().all(|len| len.parse::<u32>().unwrap() <= 104));
    assert!(
        field(&all, "frame", "frame.len").iter().any(|len| len.parse::<u32>().unwrap() > 104),
        "with the length it had"
    );
}

#[test]
fn a_mistake_in_a_filter_is_shown_with_its_column_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = example("hello/hello.yaml");
    for (words, told) in [
        (
            &["--capture", "out", "--capture-filter", "tcp port http"][..],
            "column 10: \"http\" is no port\n  | tcp port http\n  |          ^",
        ),
        (&["--capture", "out", "--capture-filter", "\u{1b}[31m"], "column 1: '\\u{1b}' is no part"),
        (&["--capture-filter", "tcp"], "there is no capture without --capture or --out"),
        (&["--snaplen", "all", "--capture", "out"], "--snaplen"),
    ] {
        let ran = everyhop(folder.path(), &[&[manifest.as_str()], words].concat());
        let error = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{error}");
        assert!(error.contains(told) && !error.contains('\u{1b}'), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
