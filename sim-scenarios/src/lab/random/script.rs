//! Random scripts for the TCP bench: a pod that serves or calls, and a peer that keeps to the rules or does not.

mod opening;
mod talk;
mod timers;

use serde_json::{Map, Value, json};

use super::dice::Dice;

/// Connections a script may have; which of them it has is drawn.
const CROWD: [&str; 5] = ["k", "m", "o", "p", "q"];
/// The first port of the peer.
const PEER_PORT: u16 = 40_000;
/// What may be waited for in a script beyond its short steps, in milliseconds: long enough for two timeouts.
const PATIENCE: u32 = 1800;

/// A script.
pub(super) fn spec(dice: &mut Dice) -> Value {
    let mut spec = Map::new();
    let sysctls = sysctls(dice);
    if dice.one_in(3) {
        spec.insert("cc".into(), "reno".into());
    }
    if dice.one_in(8) {
        spec.insert("mtu".into(), dice.pick(&[576, 1280, 1500]).into());
    }
    // By timestamps a cookie gives an RTT of up to 64 ms, whatever it was.
    let cookies = sysctls.get(COOKIES).is_some_and(|always| always == "2");
    let timestamps = sysctls.contains_key(TIMESTAMPS) && !cookies;
    let mut script = Script { steps: Vec::new(), patience: PATIENCE, timestamps };
    spec.insert("sysctl".into(), sysctls.into());
    let (conns, mut talks) = opening::draw(dice, &mut script);
    spec.insert("conns".into(), conns);
    if dice.one_in(3) {
        talks[0].end(dice, &mut script);
    }
    for _ in 0..dice.between(4, 14) {
        let which = if dice.one_in(2) { 0 } else { dice.below(talks.len() as u32) as usize };
        talks[which].act(dice, &mut script);
    }
    script.look();
    spec.insert("script".into(), script.steps.into());
    spec.into()
}

/// Steps so far.
struct Script {
    steps: Vec<Value>,
    /// Milliseconds that may still be waited for.
    patience: u32,
    /// Whether the pod agrees to timestamps.
    timestamps: bool,
}

impl Script {
    /// Adds a step: what `what` says, a wait, and a look at all sockets.
    fn step(&mut self, dice: &mut Dice, what: Value) {
        self.step_of(dice, what, 0);
    }

    /// Adds a step that begins a handshake. An RTT of a few milliseconds would tell how many segments leave at once, and
    /// nobody can say how few it is.
    fn first_step(&mut self, dice: &mut Dice, what: Value) {
        self.step_of(dice, what, 15);
    }

    /// Adds a step of at least so many milliseconds, if so much may still be waited for.
    fn patient_step(&mut self, dice: &mut Dice, what: Value, least: u32) {
        let least = if least > self.patience { 0 } else { least };
        self.step_of(dice, what, least);
    }

    /// Adds a step of at least so many milliseconds.
    fn step_of(&mut self, dice: &mut Dice, mut what: Value, least: u32) {
        // Far from the pod's timers: 4 to 10 ms a probe, 40 ms a delayed ACK, 200 ms a timeout, and then twice as much.
        let mut wait = dice.weighed(&[(12, 0), (5, 15), (3, 70), (2, 330), (1, 740)]);
        if wait > self.patience {
            wait = 0;
        }
        wait = wait.max(least);
        if wait > 15 {
            self.patience -= wait;
        }
        what["for"] = json!(f64::from(wait) / 1000.0);
        what["after"] = json!({ "do": "ss" });
        self.steps.push(what);
    }

    /// Looks at everything that counts.
    fn look(&mut self) {
        self.steps.push(json!({ "do": "stat", "keys": COUNTERS }));
    }
}

const TIMESTAMPS: &str = "net.ipv4.tcp_timestamps";
const COOKIES: &str = "net.ipv4.tcp_syncookies";

/// Sysctls of the pod and their values.
const SYSCTLS: &[(&str, &[&str])] = &[
    (TIMESTAMPS, &["1"]),
    ("net.ipv4.tcp_sack", &["0"]),
    ("net.ipv4.tcp_dsack", &["0"]),
    ("net.ipv4.tcp_window_scaling", &["0"]),
    ("net.ipv4.tcp_rmem", &["4096 8192 16384", "4096 131072 33554432"]),
    ("net.ipv4.tcp_wmem", &["4096 8192 16384"]),
    ("net.ipv4.tcp_ecn", &["0", "1"]),
    ("net.ipv4.tcp_syn_retries", &["1"]),
    ("net.ipv4.tcp_synack_retries", &["0", "1"]),
    ("net.ipv4.tcp_retries1", &["1"]),
    ("net.ipv4.tcp_retries2", &["1", "2"]),
    ("net.ipv4.tcp_orphan_retries", &["1"]),
    ("net.ipv4.tcp_fin_timeout", &["1"]),
    ("net.ipv4.tcp_tw_reuse", &["0", "1"]),
    ("net.ipv4.tcp_rfc1337", &["1"]),
    ("net.ipv4.tcp_abort_on_overflow", &["1"]),
    (COOKIES, &["0", "2"]),
    ("net.ipv4.tcp_max_syn_backlog", &["2"]),
    ("net.core.somaxconn", &["1"]),
    ("net.ipv4.tcp_slow_start_after_idle", &["0"]),
    ("net.ipv4.tcp_early_retrans", &["0"]),
    ("net.ipv4.tcp_recovery", &["0", "3", "5"]),
    ("net.ipv4.tcp_reordering", &["5"]),
    ("net.ipv4.tcp_retrans_collapse", &["0"]),
    ("net.ipv4.tcp_frto", &["0"]),
    ("net.ipv4.tcp_invalid_ratelimit", &["0", "100"]),
    ("net.ipv4.tcp_mtu_probing", &["1", "2"]),
    ("net.ipv4.tcp_pingpong_thresh", &["3"]),
    ("net.ipv4.tcp_max_tw_buckets", &["0"]),
    ("net.ipv4.tcp_comp_sack_nr", &["0"]),
];

fn sysctls(dice: &mut Dice) -> Map<String, Value> {
    let drawn = SYSCTLS.iter().filter_map(|(key, values)| {
        let often = if *key == TIMESTAMPS { 3 } else { 14 };
        dice.one_in(often).then(|| ((*key).to_owned(), dice.pick(values).into()))
    });
    drawn.collect()
}

/// Counters that both sides keep.
pub(super) const COUNTERS: &[&str] = &[
    "ActiveOpens",
    "AttemptFails",
    "EstabResets",
    "InSegs",
    "ListenDrops",
    "ListenOverflows",
    "OutRsts",
    "OutSegs",
    "PAWSEstab",
    "PassiveOpens",
    "RetransSegs",
    "SyncookiesFailed",
    "SyncookiesRecv",
    "SyncookiesSent",
    "TCPACKSkippedChallenge",
    "TCPACKSkippedPAWS",
    "TCPACKSkippedSeq",
    "TCPAbortOnClose",
    "TCPAbortOnData",
    "TCPAbortOnTimeout",
    "TCPChallengeACK",
    "TCPDSACKOldSent",
    "TCPDSACKRecv",
    "TCPDSACKUndo",
    "TCPDeferAcceptDrop",
    "TCPFastRetrans",
    "TCPFullUndo",
    "TCPKeepAlive",
    "TCPLossProbeRecovery",
    "TCPLossProbes",
    "TCPLossUndo",
    "TCPOFOQueue",
    "TCPOrigDataSent",
    "TCPRcvQDrop",
    "TCPRenoRecovery",
    "TCPReqQFullDoCookies",
    "TCPReqQFullDrop",
    "TCPSACKReorder",
    "TCPSYNChallenge",
    "TCPSackRecovery",
    "TCPSlowStartRetrans",
    "TCPSynRetrans",
    "TCPTimeouts",
    "TCPToZeroWindowAdv",
    "TCPWinProbe",
    "TW",
];
