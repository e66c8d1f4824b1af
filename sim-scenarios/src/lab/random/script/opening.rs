//! How connections of a script begin: the pod is called, or calls, or both at once; one peer or many.

use serde_json::{Map, Value, json};

use super::talk::Talk;
use super::{CROWD, PEER_PORT, Script};
use crate::lab::random::dice::Dice;

/// Draws the connections and the steps that open them.
pub(super) fn draw(dice: &mut Dice, script: &mut Script) -> (Value, Vec<Talk>) {
    match dice.below(10) {
        0..6 => passive(dice, script, 1),
        6 => {
            let n = dice.between(2, CROWD.len() as u32);
            passive(dice, script, n)
        }
        _ => active(dice, script),
    }
}

/// `n` peers that call the pod. Odd segments may come between their SYN and their ACK.
fn passive(dice: &mut Dice, script: &mut Script, n: u32) -> (Value, Vec<Talk>) {
    let backlog = if n > 1 { dice.below(3) } else { 8 };
    let listen = json!({ "do": "listen", "s": "L", "port": 80, "backlog": backlog, "opt": options(dice) });
    script.step(dice, listen);
    let names = &CROWD[..n as usize];
    let conns = names.iter().zip(PEER_PORT..).map(|(c, port)| ((*c).to_owned(), json!({ "pod": 80, "peer": port })));
    let conns: Map<_, _> = conns.collect();
    let mut talks: Vec<Talk> = names.iter().map(|c| Talk::draw(dice, c, script.timestamps)).collect();
    for talk in &mut talks {
        let syn = talk.syn(dice, "S", None);
        script.first_step(dice, syn);
        if dice.one_in(6) {
            talk.act(dice, script);
        }
    }
    for talk in &mut talks {
        let ack = if dice.one_in(8) { talk.data(dice) } else { talk.ack() };
        script.step(dice, ack);
        if !dice.one_in(12) {
            script.step(dice, json!({ "do": "accept", "s": talk.socket(), "of": "L" }));
        }
    }
    (conns.into(), talks)
}

/// The pod calls; the peer answers as it should, or with a SYN of its own, or with something odd first.
fn active(dice: &mut Dice, script: &mut Script) -> (Value, Vec<Talk>) {
    let c = CROWD[0];
    let mut talk = Talk::draw(dice, c, script.timestamps);
    let connect = json!({ "do": "connect", "s": talk.socket(), "c": c, "opt": options(dice) });
    script.first_step(dice, connect);
    if dice.one_in(4) {
        talk.act(dice, script);
    }
    if dice.one_in(4) {
        let syn = talk.syn(dice, "S", None);
        script.first_step(dice, syn);
    }
    let answer = talk.syn(dice, "SA", Some(1));
    script.step(dice, answer);
    (json!({ c: { "pod": 41_000, "peer": 81 } }), vec![talk])
}

/// Socket options from the beginning.
fn options(dice: &mut Dice) -> Value {
    let drawn = OPTIONS.iter().filter(|_| dice.one_in(16)).copied().collect::<Vec<_>>();
    let drawn = drawn.into_iter().map(|(name, values)| (name.to_owned(), dice.pick(values).into()));
    Value::Object(drawn.collect())
}

/// Socket options and their values.
pub(super) const OPTIONS: &[(&str, &[u32])] = &[
    ("nodelay", &[1]),
    ("cork", &[1]),
    ("keepalive", &[1]),
    ("keepidle", &[1]),
    ("keepintvl", &[1]),
    ("keepcnt", &[1, 2]),
    ("defer_accept", &[1, 3]),
    ("linger2", &[1]),
    ("user_timeout", &[500]),
    ("syncnt", &[1]),
    ("maxseg", &[88, 500, 1000]),
    ("rcvbuf", &[2000, 20_000]),
    ("sndbuf", &[3000, 20_000]),
    ("recverr", &[1]),
    ("notsent_lowat", &[1000]),
    ("mtu_discover", &[0, 2]),
    ("ttl", &[9]),
    ("tos", &[16]),
];
