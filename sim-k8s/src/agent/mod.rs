//! What every part of the control plane is: an agent that hears of changes, asks the apiserver for others, and puts
//! commands to netns, all of it in simulated time.
//!
//! | room | what it is |
//! | --- | --- |
//! | `control_plane` | the apiserver, all agents, and what is due when |
//! | `context` | what an agent can do while it acts |
//! | `watch` | who hears of which change |
//! | `journal` | what it did, for whoever looks at a run afterwards |
//! | `limiter` | a client's own limit of requests in a second |
//!
//! Agents do not know each other. One hears what another did by a watch of the apiserver, or finds it in a netns.

mod context;
mod control_plane;
mod journal;
mod limiter;
mod watch;

use std::fmt::Debug;
use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::netns::socket::Socket;

use crate::api::ObjectKey;
use crate::apiserver::{Change, Refused};
use crate::command::CommandFailed;

pub use context::Context;
pub use control_plane::{AgentId, ControlPlane};
pub use journal::{Deed, Entry};
pub use watch::Interest;

/// What happens to an agent.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// It starts: time to watch and to set timers.
    Start,
    /// An object it watches changed.
    Changed(Change),
    /// Everything that was there when it began to watch this has been told (an informer's `HasSynced`).
    Listed(Interest),
    /// A time it asked for has come; with its token.
    Timer(u64),
    /// The apiserver answered the request of this token.
    Replied(u64, Result<(), Refused>),
    /// The commands of this token have been carried out, or one of them was refused and the rest left out.
    Done(u64, Result<(), CommandFailed>),
    /// Something happened to a socket of its own.
    Woken(NetnsId, Socket),
    /// A container that it started has ended by itself, or as it was told to, with this exit code.
    Exited(ContainerRef, u8),
    /// It runs in a container, and that is to end.
    Signal(Signal),
}

/// How a container ends that an agent runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// It may wind up, and tells [`Notice::Exited`] when it is done.
    Stop,
    /// It is killed: this is the last it hears. Its sockets close.
    Kill,
}

/// A part of the control plane. It is plain data: a clone goes its own way.
pub trait Agent: Debug + Send + Sync + CloneAgent {
    /// Reacts to `event`. What it wants done goes through `cx`.
    fn on(&mut self, event: Event, cx: &mut Context<'_>);
}

/// Every agent that is `Clone` can be cloned without knowing its type.
pub trait CloneAgent {
    /// A copy.
    fn boxed(&self) -> Box<dyn Agent>;
}

impl<T: Agent + Clone + 'static> CloneAgent for T {
    fn boxed(&self) -> Box<dyn Agent> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Agent> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

/// One container of one pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ContainerRef {
    /// The pod.
    pub pod: ObjectKey,
    /// Which pod of that name.
    pub uid: u64,
    /// Index of the container in the pod's template.
    pub container: usize,
}

/// What the applications in containers must know. Whoever drives the cluster plays them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The container has been started, for the first time or again.
    Started {
        /// Which one.
        container: ContainerRef,
        /// Where it runs: the pod's own netns, or its node's.
        netns: NetnsId,
        /// The addresses of the pod, the primary one first; the node's if it shares its netns.
        ips: Vec<IpAddr>,
    },
    /// It was sent the stop signal of its image, and may wind up. It says when it is done: [`ControlPlane::exited`].
    Stop(ContainerRef),
    /// It was killed: from now on it does nothing, and its sockets are closed.
    Killed(ContainerRef),
    /// It is an agent's, which has ended with this exit code.
    Exited(ContainerRef, u8),
}

#[cfg(test)]
mod tests;
