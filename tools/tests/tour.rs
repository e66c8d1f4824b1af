//! `everyhop tour` as a user meets it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).arg("tour").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_stop_is_right_and_its_capture_holds_its_hops() {
    let folder = tempfile::tempdir().unwrap();
    let ran = everyhop(folder.path(), &["--all", "--json"]);
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()));
    let visits: Vec<Value> = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(visits.len() >= 12);
    for visit in visits {
        let keys: Vec<_> = visit.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "ok", "sends", "hops", "capture"]);
        assert_eq!(visit["ok"], true, "{visit}");
        let capture = folder.path().join(visit["capture"].as_str().unwrap());
        let wrong =
            "_ws.malformed || _ws.expert.severity == error || ip.checksum.status == 0 || tcp.checksum.status == 0";
        for (filter, frames) in [("frame", visit["hops"].as_u64().unwrap()), (wrong, 0)] {
            let mut tshark = Command::new("tshark");
            tshark.arg("-nr").arg(&capture).args(["-d", "udp.port==8472,vxlan", "-oip.check_checksum:TRUE"]);
            let Ok(read) = tshark.args(["-otcp.check_checksum:TRUE", "-Y", filter]).output() else {
                eprintln!("skipped: no tshark");
                return;
            };
            assert_eq!(text(&read.stdout).lines().count() as u64, frames, "{visit}: {filter}: {}", text(&read.stdout));
        }
    }
}

#[test]
fn one_stop_is_told_and_its_capture_is_where_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let ran = everyhop(folder.path(), &["hairpin", "--out", "here"]);
    let page = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{page}");
    assert!(page.starts_with("=== hairpin\nA pod that calls its own Service meets itself."), "{page}");
    assert!(page.ends_with(" frames: wireshark -C everyhop here/hairpin.pcapng\n\n"), "{page}");
    assert!(folder.path().join("here/hairpin.pcapng").is_file() && folder.path().join("here/hairpin.svg").is_file());
}

#[test]
fn without_a_name_the_stops_are_listed_and_an_unknown_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listed = text(&everyhop(folder.path(), &[]).stdout);
    assert!(listed.lines().count() >= 12 && listed.contains("service-dnat "), "{listed}");
    for (words, told) in [(&["nowhere"][..], "there is no stop called nowhere"), (&["overlay", "--all"], "--all")] {
        let ran = everyhop(folder.path(), words);
        assert_eq!(ran.status.code(), Some(2));
        assert!(text(&ran.stderr).contains(told), "{}", text(&ran.stderr));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}
