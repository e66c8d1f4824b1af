//! Waits for what only a timer brings about: keepalives, probes of a closed window, a timeout that was for nothing.

use serde_json::json;

use super::Script;
use super::talk::Talk;
use crate::lab::random::dice::Dice;

/// Milliseconds after which a keepalive of a second, a first timeout or a first probe has happened, and none is due.
const IDLE: u32 = 1330;
const TIMEOUT: u32 = 330;
const SECOND_TIMEOUT: u32 = 740;

impl Talk {
    /// Draws a timer and waits for it.
    pub(super) fn wait_for_timer(&mut self, dice: &mut Dice, script: &mut Script) {
        match dice.below(3) {
            0 => self.idle(dice, script),
            1 => self.probed(dice, script),
            _ => self.regretted(dice, script),
        }
    }

    /// Nothing is said for a second, and keepalives are on.
    fn idle(&mut self, dice: &mut Dice, script: &mut Script) {
        let socket = self.socket();
        for (name, value) in [("keepidle", 1), ("keepintvl", 1), ("keepcnt", dice.pick(&[1, 2])), ("keepalive", 1)] {
            script.step(dice, json!({ "do": "opt", "s": socket, "name": name, "value": value }));
        }
        let ack = self.ack();
        script.patient_step(dice, ack, IDLE);
    }

    /// The peer closes its window before the pod writes.
    fn probed(&mut self, dice: &mut Dice, script: &mut Script) {
        self.set_window(0);
        let ack = self.ack();
        script.step(dice, ack);
        let write = self.write(100);
        script.patient_step(dice, write, TIMEOUT);
        if dice.one_in(2) {
            self.set_window(65_535);
        }
        let ack = self.ack_again();
        script.patient_step(dice, ack, SECOND_TIMEOUT);
    }

    /// The ACK was late: it says that all came twice.
    fn regretted(&mut self, dice: &mut Dice, script: &mut Script) {
        let from = self.heard();
        let write = self.write(dice.pick(&[100, 1400, 5000]));
        script.patient_step(dice, write, TIMEOUT);
        let mut ack = self.ack();
        if self.selects() {
            ack["opt"]["sack"] = json!([[from, self.heard().min(from + dice.pick(&[100, 1410]))]]);
        }
        script.step(dice, ack);
    }
}
