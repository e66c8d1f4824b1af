//! A run that is played as often as one wants to look at it: it is the same each time.

use sim_core::capture::Seen;
use sim_core::engine::time::{Duration, Instant};
use sim_k8s::cluster::ClusterError;

use super::call::{Call, NoCall};
use crate::run::{Run, Scenario};
use crate::shell::session::Session;

/// After a call so much time passes, so that its connection closes.
const PAUSE: Duration = Duration::from_millis(200);

/// A run, and a call that is made in it by hand, if there is one.
pub struct Film<'s> {
    /// What the run is made from.
    pub scenario: &'s Scenario,
    /// What is tried, when the cluster stands.
    pub call: Option<&'s Call>,
    /// Asked before each event: whether to end early.
    pub stop: &'s dyn Fn() -> bool,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum NoFilm {
    /// What the objects ask for and no cluster can give.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The call cannot be made.
    #[error(transparent)]
    Call(#[from] NoCall),
}

/// How it ended.
pub(super) struct Played {
    pub(super) run: Run,
    /// What the client of the call was told.
    pub(super) told: String,
}

impl Film<'_> {
    /// Plays it to its end. After each event `look` is shown the run, and what the taps saw.
    pub(super) fn play(&self, look: &mut dyn FnMut(&Run, &[Seen])) -> Result<Played, NoFilm> {
        self.play_run(self.scenario.run(true)?, look)
    }

    /// As [`Self::play`]; what the taps saw names each rule that was looked at.
    pub(super) fn play_closely(&self, look: &mut dyn FnMut(&Run, &[Seen])) -> Result<Played, NoFilm> {
        let mut run = self.scenario.run(true)?;
        run.capture_rules();
        self.play_run(run, look)
    }

    fn play_run(&self, run: Run, look: &mut dyn FnMut(&Run, &[Seen])) -> Result<Played, NoFilm> {
        let mut watch = |run: &mut Run| {
            let seen = run.take_seen();
            look(run, &seen);
        };
        match self.call {
            Some(call) => self.with_call(run, call, &mut watch),
            None => Ok(self.as_it_was(run, &mut watch)),
        }
    }

    fn as_it_was(&self, mut run: Run, watch: &mut dyn FnMut(&mut Run)) -> Played {
        while !(self.stop)() && run.advance(1) {
            watch(&mut run);
        }
        watch(&mut run);
        Played { run, told: String::new() }
    }

    fn with_call(&self, run: Run, call: &Call, watch: &mut dyn FnMut(&mut Run)) -> Result<Played, NoFilm> {
        let mut session = Session::of(run, self.stop, Some(watch));
        session.settle();
        let begun = session.now() + call.at;
        session.run_until(begun);
        let command = call.command(session.run())?;
        let mut told = String::new();
        session.line(&command, &mut |reply| {
            told += &reply.output.stdout;
            told += &reply.output.stderr;
        });
        let end: Instant = session.now() + PAUSE;
        session.run_until(end);
        Ok(Played { run: session.into_run(), told })
    }
}
