//! What an agent can do while it acts.

use sim_core::engine::arena::NetnsId;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::world::World;

use crate::apiserver::Request;
use crate::command::Command;
use crate::timings::{Span, Timings};

use super::control_plane::{AgentId, ControlPlane, Due, Exec};
use super::limiter::Limiter;
use super::{Interest, Notice};

/// An agent's hands and eyes for the time of one event.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) plane: &'a mut ControlPlane,
    pub(super) world: &'a mut World,
    pub(super) me: AgentId,
}

impl Context<'_> {
    /// Simulated time.
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// How long things take.
    pub fn timings(&self) -> &Timings {
        &self.plane.timings
    }

    /// The agent's own random stream.
    pub fn draws(&mut self) -> &mut Stream {
        &mut self.plane.slot(self.me).draws
    }

    /// A time from `span`, drawn from the agent's own stream.
    pub fn draw(&mut self, span: Span) -> Duration {
        span.draw(self.draws())
    }

    /// Begins to watch. What is there already comes first, as added (`LIST`, then `WATCH`), and then [`super::Event::Listed`].
    pub fn watch(&mut self, interest: Interest) {
        self.plane.watch(self.world, self.me, interest);
    }

    /// From now on at most `qps` requests a second, `burst` of them at once; others wait. Default: no limit.
    pub fn limit_requests(&mut self, qps: u64, burst: u64) {
        self.plane.slot(self.me).limiter = Some(Limiter::new(qps, burst));
    }

    /// Asks the apiserver. It acts after the latency of a call, then [`super::Event::Replied`] has `token`.
    pub fn request(&mut self, request: Request, token: u64) {
        self.plane.request(self.world, self.me, request, token);
    }

    /// Asks for [`super::Event::Timer`] with `token` at `at`.
    pub fn timer(&mut self, at: Instant, token: u64) {
        self.plane.schedule(self.world, at, Due::Timer(self.me, token));
    }

    /// Puts `commands` to a netns, one after the other, each taking the time `each`; each is an event of its own, and
    /// packets come in between. Then [`super::Event::Done`] has `token`.
    pub fn exec(&mut self, netns: NetnsId, commands: Vec<Command>, each: Duration, token: u64) {
        let (agent, commands) = (self.me, commands.into());
        let exec = Exec { agent, netns, commands, each, token, lines: 0 };
        self.plane.schedule(self.world, self.world.now() + each, Due::Exec(exec));
    }

    /// The network: the one door and sockets.
    pub fn world(&mut self) -> &mut World {
        self.world
    }

    /// What happens to this socket is [`super::Event::Woken`] for this agent.
    pub fn own(&mut self, netns: NetnsId, socket: Socket) {
        self.plane.sockets.insert((netns, socket), self.me);
    }

    /// The socket is closed; or someone else's.
    pub fn disown(&mut self, netns: NetnsId, socket: Socket) {
        self.plane.sockets.remove(&(netns, socket));
    }

    /// Tells whoever plays the applications in pods.
    pub fn tell(&mut self, notice: Notice) {
        match &notice {
            Notice::Started { container, .. } => {
                self.plane.started_by.insert(container.clone(), self.me);
            }
            Notice::Killed(container) => {
                self.plane.started_by.remove(container);
            }
            Notice::Stop(_) | Notice::Exited(..) => {}
        }
        self.plane.notices.push_back(notice);
    }
}
