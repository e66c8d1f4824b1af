use super::*;
use crate::lab::canon::dumps;

const ALL: Shown<'_> = Shown { timeouts: false, known_ports: None, known_echoes: None };

fn udp(src: (&str, u16), dst: (&str, u16)) -> String {
    let ((s, sp), (d, dp)) = (src, dst);
    format!(
        "ipv4     2 udp      17 29 src={s} dst={d} sport={sp} dport={dp} packets=1 bytes=36 [UNREPLIED] \
         src={d} dst={s} sport={dp} dport={sp} packets=0 bytes=0 mark=0 use=1\n"
    )
}

#[test]
fn entries_read_as_in_the_goldens() {
    let icmp = "ipv4     2 icmp     1 29 src=10.244.1.2 dst=10.244.1.3 type=8 code=0 id=77 packets=1 bytes=36 \
                src=10.244.1.3 dst=10.244.1.2 type=0 code=0 id=77 packets=1 bytes=36 mark=0 use=1";
    assert_eq!(
        dumps(&canonical(icmp, ALL)[0]),
        r#"{"p": "icmp", "orig": {"s": "10.244.1.2", "d": "10.244.1.3", "type": 8, "code": 0, "id": 77, "packets": 1, "bytes": 36}, "reply": {"s": "10.244.1.3", "d": "10.244.1.2", "type": 0, "code": 0, "id": 77, "packets": 1, "bytes": 36}, "st": []}"#
    );
    let tcp = "ipv4     2 tcp      6 431999 ESTABLISHED src=1.0.0.1 dst=1.0.0.2 sport=1 dport=2 packets=3 bytes=4 \
               src=1.0.0.2 dst=1.0.0.1 sport=2 dport=1 packets=5 bytes=6 [ASSURED] mark=5 zone=7 use=1";
    let entry = &canonical(tcp, Shown { timeouts: true, ..ALL })[0];
    assert_eq!(
        [&entry["state"], &entry["timeout"], &entry["st"][0], &entry["mark"], &entry["zone"]],
        [&json!("ESTABLISHED"), &json!(432_000), &json!("ASSURED"), &json!(5), &json!(7)]
    );
}

#[test]
fn outer_vxlan_entries_of_one_direction_are_one() {
    let table = udp(("10.240.0.11", 40001), ("10.240.0.12", 8472))
        + &udp(("10.240.0.12", 40001), ("10.240.0.11", 8472))
        + &udp(("10.240.0.11", 50002), ("10.240.0.12", 8472));
    let shown = canonical(&table, ALL);
    assert_eq!(shown.as_array().unwrap().len(), 2);
    let to_n2 = shown.as_array().unwrap().iter().find(|e| e["orig"]["s"] == "10.240.0.11").unwrap();
    assert_eq!((&to_n2["orig"]["sp"], &to_n2["reply"]["dp"]), (&json!("hash"), &json!("hash")));
    assert_eq!((&to_n2["orig"]["packets"], &to_n2["orig"]["bytes"]), (&json!(2), &json!(72)));
}

#[test]
fn the_order_is_that_of_the_sorted_text() {
    // "10" sorts before "9" as text.
    let shown = canonical(&(udp(("9.0.0.1", 9), ("1.0.0.1", 1)) + &udp(("9.0.0.1", 10), ("1.0.0.1", 1))), ALL);
    assert_eq!([&shown[0]["orig"]["sp"], &shown[1]["orig"]["sp"]], [&json!(10), &json!(9)]);
}

#[test]
fn ports_and_timeouts_are_shown_as_what_they_stand_for() {
    let known = Shown { timeouts: true, known_ports: Some(&[53]), ..ALL };
    let shown = &canonical(&udp(("1.0.0.1", 61234), ("1.0.0.2", 53)), known)[0];
    assert_eq!(shown["timeout"], 30, "29 s are left of 30");
    assert_eq!((&shown["orig"]["sp"], &shown["orig"]["dp"]), (&json!("1024-65535"), &json!(53)));
    let nominals = [0, 1, 3, 115, 116, 431_999].map(nominal);
    assert_eq!(nominals, [0, 5, 5, 115, 120, 432_000]);
    assert_eq!([port(511, Some(&[])), port(512, Some(&[])), port(0, Some(&[]))], ["1-511", "512-1023", "512-1023"]);
}

#[test]
fn an_echo_that_is_not_known_was_drawn() {
    let shown = |known| {
        canonical(
            "ipv4 2 icmp 1 29 src=1.0.0.1 dst=1.0.0.2 type=8 code=0 id=77 src=1.0.0.2 dst=1.0.0.1 type=0 code=0 id=41 use=1",
            known,
        )
    };
    let table = shown(Shown { known_echoes: Some(&[77]), ..ALL });
    assert_eq!((&table[0]["orig"]["id"], &table[0]["reply"]["id"]), (&json!(77), &json!("drawn")));
    assert_eq!(shown(ALL)[0]["reply"]["id"], 41);
}

proptest::proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(line in "(ipv4 2 udp 17 )?([a-z]{1,5}(=[0-9a-z.]{0,9})? ?){0,9}") {
        canonical(&line, ALL);
    }
}
