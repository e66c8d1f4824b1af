use super::*;

fn half(src: &str, dst: &str, l4: HalfL4, packets: u64) -> Half {
    Half { src: src.parse().unwrap(), dst: dst.parse().unwrap(), l4, packets, bytes: packets * 36 }
}

fn udp(src: (&str, u16), dst: (&str, u16)) -> Entry {
    Entry {
        proto: UDP,
        proto_name: "udp".into(),
        timeout_secs: 29,
        state: None,
        orig: half(src.0, dst.0, HalfL4::Ports(src.1, dst.1), 1),
        reply: half(dst.0, src.0, HalfL4::Ports(dst.1, src.1), 0),
        unreplied: true,
        assured: false,
        mark: 0,
    }
}

const ALL: Shown<'_> = Shown { timeouts: false, known_ports: None };

#[test]
fn an_entry_reads_as_in_a_golden() {
    let icmp = Entry {
        proto: 1,
        proto_name: "icmp".into(),
        unreplied: false,
        orig: half("10.244.1.2", "10.244.1.3", HalfL4::Icmp(8, 0, 77), 1),
        reply: half("10.244.1.3", "10.244.1.2", HalfL4::Icmp(0, 0, 77), 1),
        ..udp(("10.244.1.2", 1), ("10.244.1.3", 2))
    };
    assert_eq!(
        crate::lab::canon::dumps(&canonical(&[icmp], ALL)[0]),
        r#"{"p": "icmp", "orig": {"s": "10.244.1.2", "d": "10.244.1.3", "type": 8, "code": 0, "id": 77, "packets": 1, "bytes": 36}, "reply": {"s": "10.244.1.3", "d": "10.244.1.2", "type": 0, "code": 0, "id": 77, "packets": 1, "bytes": 36}, "st": []}"#
    );
}

#[test]
fn outer_vxlan_entries_of_one_direction_are_one() {
    let table = [
        udp(("10.240.0.11", 40001), ("10.240.0.12", 8472)),
        udp(("10.240.0.12", 40001), ("10.240.0.11", 8472)),
        udp(("10.240.0.11", 50002), ("10.240.0.12", 8472)),
    ];
    let shown = canonical(&table, ALL);
    assert_eq!(shown.as_array().unwrap().len(), 2);
    let to_n2 = shown.as_array().unwrap().iter().find(|e| e["orig"]["s"] == "10.240.0.11").unwrap();
    assert_eq!((&to_n2["orig"]["sp"], &to_n2["reply"]["dp"]), (&json!("hash"), &json!("hash")));
    assert_eq!((&to_n2["orig"]["packets"], &to_n2["orig"]["bytes"]), (&json!(2), &json!(72)));
}

#[test]
fn the_order_is_that_of_the_sorted_text() {
    // "10" sorts before "9" as text, and "mark" is compared before "orig".
    let table = [udp(("9.0.0.1", 9), ("1.0.0.1", 1)), udp(("9.0.0.1", 10), ("1.0.0.1", 1))];
    let shown = canonical(&table, ALL);
    assert_eq!([&shown[0]["orig"]["sp"], &shown[1]["orig"]["sp"]], [&json!(10), &json!(9)]);
}

#[test]
fn ports_and_timeouts_are_shown_as_what_they_stand_for() {
    let known = Shown { timeouts: true, known_ports: Some(&[53]) };
    let shown = &canonical(&[udp(("1.0.0.1", 61234), ("1.0.0.2", 53))], known)[0];
    assert_eq!(shown["timeout"], 30, "29 s are left of 30");
    assert_eq!((&shown["orig"]["sp"], &shown["orig"]["dp"]), (&json!("1024-65535"), &json!(53)));
    assert_eq!(
        [nominal(0), nominal(1), nominal(3), nominal(115), nominal(116), nominal(431_999)],
        [0, 5, 5, 115, 120, 432_000]
    );
    assert_eq!([port(511, Some(&[])), port(512, Some(&[])), port(0, Some(&[]))], ["1-511", "512-1023", "512-1023"]);
}
