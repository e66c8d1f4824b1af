//! One connection as the peer knows it, and what happens on it next.

use serde_json::{Value, json};

use super::Script;
use super::opening::OPTIONS;
use crate::lab::random::dice::Dice;

/// What has been said so far, if all went well. Numbers are relative to the initial ones, as in scripts.
pub(super) struct Talk {
    name: &'static str,
    /// What the peer sends next.
    next: i64,
    /// How far the pod has been heard, at most: everything written.
    written: i64,
    /// How far the pod was told so.
    acked: i64,
    /// The window that the peer announces.
    window: u32,
    timestamps: bool,
    sack: bool,
    /// One side has said that it is done.
    ending: bool,
}

impl Talk {
    /// A connection that has not begun. `timestamps`: the pod agrees to them.
    pub(super) fn draw(dice: &mut Dice, name: &'static str, timestamps: bool) -> Self {
        let window = dice.weighed(&[(5, 65_535), (2, 5000), (1, 500), (1, 29_200)]);
        let timestamps = timestamps && !dice.one_in(5);
        Self { name, next: 0, written: 1, acked: 1, window, timestamps, sack: !dice.one_in(4), ending: false }
    }

    /// The name of the pod's socket.
    pub(super) fn socket(&self) -> String {
        self.name.to_uppercase()
    }

    /// The peer's SYN, or SYN-ACK.
    pub(super) fn syn(&mut self, dice: &mut Dice, flags: &str, ack: Option<i64>) -> Value {
        let mut step = self.segment(flags, 0, ack);
        let mss = dice.weighed(&[(6, 1460), (1, 536), (1, 1000), (1, 100), (1, 8960)]);
        if !dice.one_in(10) {
            step["opt"]["mss"] = mss.into();
        }
        if self.sack {
            step["opt"]["sackok"] = 1.into();
        }
        if !dice.one_in(4) {
            step["opt"]["ws"] = dice.weighed(&[(6, 7), (1, 0), (1, 2), (1, 14)]).into();
        }
        if dice.one_in(8) {
            step["fl"] = if ack.is_none() { "SEC" } else { "SAE" }.into();
        }
        self.next = 1;
        step
    }

    /// Everything heard is acknowledged.
    pub(super) fn ack(&mut self) -> Value {
        self.acked = self.written;
        self.segment("A", self.next, Some(self.written))
    }

    /// The same ACK once more, perhaps of another window.
    pub(super) fn ack_again(&self) -> Value {
        self.segment("A", self.next, Some(self.acked))
    }

    /// The application writes so much.
    pub(super) fn write(&mut self, n: i64) -> Value {
        self.written += n;
        json!({ "do": "send", "s": self.socket(), "n": n })
    }

    /// What the peer announces from now on.
    pub(super) fn set_window(&mut self, window: u32) {
        self.window = window;
    }

    /// How far the peer has acknowledged.
    pub(super) fn heard(&self) -> i64 {
        self.acked
    }

    /// Whether the peer may send SACKs.
    pub(super) fn selects(&self) -> bool {
        self.sack
    }

    /// The next data.
    pub(super) fn data(&mut self, dice: &mut Dice) -> Value {
        let flags = dice.weighed(&[(3, "PA"), (2, "A"), (1, "FPA")]);
        let len = length(dice);
        let mut step = self.segment(flags, self.next, Some(self.acked));
        step["len"] = len.into();
        self.next += i64::from(len) + i64::from(flags.contains('F'));
        step
    }

    /// Draws what happens next.
    pub(super) fn act(&mut self, dice: &mut Dice, script: &mut Script) {
        let step = match dice.below(21) {
            0..3 if self.ending => self.close(dice),
            3..6 if self.ending => self.odd(dice),
            0..6 => self.call(dice),
            6..10 => self.acknowledge(dice),
            10..13 => self.data(dice),
            13..15 => self.misplaced(dice),
            15 => self.selective(dice),
            16 => self.close(dice),
            17 => self.reset(dice),
            18 => self.odd(dice),
            19 => return self.wait_for_timer(dice, script),
            _ => self.error(dice),
        };
        script.step(dice, step);
    }

    /// One side or both want no more.
    pub(super) fn end(&mut self, dice: &mut Dice, script: &mut Script) {
        self.ending = true;
        let sides = dice.below(4);
        if sides != 0 {
            self.written += 1;
            let call = if sides == 1 { "shutdown" } else { "close" };
            script.step(dice, json!({ "do": call, "s": self.socket() }));
        }
        if sides == 0 || sides == 3 {
            let fin = self.close(dice);
            script.step(dice, fin);
        }
    }

    fn segment(&self, flags: &str, seq: i64, ack: Option<i64>) -> Value {
        let mut step = json!({ "do": "seg", "c": self.name, "fl": flags, "seq": seq, "win": self.window, "opt": {} });
        if let Some(ack) = ack {
            step["ack"] = ack.into();
        }
        if self.timestamps {
            step["opt"]["ts"] = 1.into();
        }
        step
    }

    /// What an application may do.
    fn call(&mut self, dice: &mut Dice) -> Value {
        let socket = self.socket();
        match dice.below(20) {
            0..9 => {
                let n = dice.weighed(&[(3, 100), (2, 1), (3, 1500), (3, 5000), (1, 20_000)]);
                self.write(n)
            }
            9..12 => json!({ "do": "recv", "s": socket, "n": dice.pick(&[10, 1000, 100_000]) }),
            12 => {
                let how = dice.weighed(&[(4, "wr"), (1, "rd"), (1, "rdwr")]);
                self.written += i64::from(how != "rd");
                json!({ "do": "shutdown", "s": socket, "how": how })
            }
            13 => {
                self.written += 1;
                json!({ "do": "close", "s": socket })
            }
            14 => json!({ "do": "abort", "s": socket }),
            15 => json!({ "do": "poll", "s": socket }),
            16 => json!({ "do": "error", "s": socket }),
            17 => json!({ "do": "info", "s": socket, "keys": INFO }),
            _ => {
                let (name, values) = dice.pick(OPTIONS);
                json!({ "do": "opt", "s": socket, "name": name, "value": dice.pick(&[&[0], values].concat()) })
            }
        }
    }

    /// An ACK: of everything mostly, else of a part, or of what was never sent.
    fn acknowledge(&mut self, dice: &mut Dice) -> Value {
        let open = (self.written - self.acked).max(1) as u32;
        match dice.below(12) {
            0..5 => self.ack(),
            5 | 6 => {
                self.acked += i64::from(dice.below(open));
                self.segment("A", self.next, Some(self.acked))
            }
            7 => {
                let again: Vec<Value> =
                    (0..dice.between(2, 4)).map(|_| self.segment("A", self.next, Some(self.acked))).collect();
                let again: Vec<Value> = again.into_iter().map(bare).collect();
                json!({ "do": "seg", "list": again })
            }
            8 => {
                let before = dice.pick(&[1, 100, 100_000]);
                self.segment("A", self.next, Some(self.acked - before))
            }
            9 => {
                let beyond = dice.pick(&[1, 100, 100_000]);
                self.segment("A", self.next, Some(self.written + beyond))
            }
            _ => {
                self.window = dice.weighed(&[(3, 0), (2, 65_535), (1, 1), (2, 300), (2, 2000)]);
                let ack = if dice.one_in(2) { self.acked } else { self.written };
                self.acked = ack;
                self.segment("A", self.next, Some(ack))
            }
        }
    }

    /// Data that is not the next.
    fn misplaced(&mut self, dice: &mut Dice) -> Value {
        let len = length(dice);
        let seq = match dice.below(8) {
            0..4 => self.next + i64::from(dice.pick(&[1, 100, 1000, 1400, 2800])),
            4 => self.next - i64::from(len),
            5 => self.next - i64::from(dice.below(len) + 1),
            6 => self.next - 100_000,
            _ => self.next + dice.pick(&[65_000, 70_000, 9_000_000]),
        };
        let mut step = self.segment(dice.weighed(&[(4, "A"), (2, "PA"), (1, "FPA"), (1, "")]), seq, Some(self.acked));
        step["len"] = len.into();
        step
    }

    /// SACK blocks, some of them of nothing that was sent.
    fn selective(&mut self, dice: &mut Dice) -> Value {
        let span = (self.written - self.acked).max(1) as u32;
        let block = |dice: &mut Dice| {
            let start = self.acked + i64::from(dice.below(span) / 1410 * 1410);
            match dice.below(8) {
                0 => [self.written, self.written + 100],
                1 => [self.acked - 100, self.acked],
                2 => [start, start],
                3 => [start, start + i64::from(dice.below(span) + 1)],
                _ => [start, (start + 1410 * i64::from(dice.between(1, 3))).min(self.written)],
            }
        };
        let blocks: Vec<_> = (0..dice.weighed(&[(4, 1), (2, 2), (1, 3)])).map(|_| block(dice)).collect();
        let mut step = self.segment("A", self.next, Some(self.acked));
        step["opt"]["sack"] = json!(blocks);
        step
    }

    /// A FIN, in its place or beyond.
    fn close(&mut self, dice: &mut Dice) -> Value {
        if dice.one_in(4) {
            return self.segment("FA", self.next + i64::from(dice.between(1, 200)), Some(self.acked));
        }
        let step = self.segment("FA", self.next, Some(if dice.one_in(2) { self.acked } else { self.written }));
        self.next += 1;
        step
    }

    fn reset(&mut self, dice: &mut Dice) -> Value {
        let seq = self.next + dice.weighed(&[(4, 0), (2, 50), (1, -1), (1, -70_000), (1, 9_000_000)]);
        let (flags, ack) = dice.weighed(&[(3, ("R", None)), (2, ("RA", Some(self.acked))), (1, ("RA", Some(7777)))]);
        self.segment(flags, seq, ack)
    }

    /// Flags, timestamps or a checksum that have no place here.
    fn odd(&mut self, dice: &mut Dice) -> Value {
        let seq = self.next + dice.weighed(&[(3, 0), (1, -1), (1, 100), (1, -1000), (1, 9_000_000)]);
        let ack = Some(self.acked);
        match dice.below(5) {
            0 | 1 => self.segment(dice.pick(&["S", "SA", "SF", "SR", "SFA"]), seq, ack),
            2 => self.segment(dice.pick(&["", "F", "FSRPA", "P", "FPA", "EA", "CA"]), seq, ack),
            3 => {
                let mut step = self.data(dice);
                step["ck"] = "bad".into();
                step
            }
            _ => {
                let mut step = if dice.one_in(2) { self.ack() } else { self.data(dice) };
                step["opt"]["ts"] = dice.pick(&[500, 900_000, 3_000_000_000_u32]).into();
                if dice.one_in(2) {
                    step["opt"]["ecr"] = dice.pick(&[0, 77]).into();
                }
                step
            }
        }
    }

    fn error(&self, dice: &mut Dice) -> Value {
        let (kind, code) =
            dice.pick(&[(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0)]);
        let mut step = json!({ "do": "icmp", "c": self.name, "type": kind, "code": code });
        if (kind, code) == (3, 4) {
            step["mtu"] = dice.pick(&[0, 68, 300, 576, 1000, 1400, 1450, 9000]).into();
        }
        if dice.one_in(4) {
            step["seq"] = dice.pick(&[-1, self.acked, self.written, 100_000]).into();
        }
        step
    }
}

/// What is asked of TCP_INFO.
const INFO: &[&str] = &["snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "cwnd", "ssthresh", "pmtu"];

fn length(dice: &mut Dice) -> u32 {
    dice.weighed(&[(3, 10), (1, 1), (3, 500), (3, 1000), (4, 1400)])
}

/// A segment as an item of a list.
fn bare(mut step: Value) -> Value {
    if let Some(members) = step.as_object_mut() {
        members.shift_remove("do");
    }
    step
}
