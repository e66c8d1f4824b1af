//! Applications in containers: when they listen, what they do with the stop signal, how they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::Socket;
use sim_core::world::World;
use sim_k8s::agent::ContainerRef;

use super::habits::{Habits, OnStop};
use super::server::{Server, ServerId, Servers};

/// Alarms with this bit, and not the one above it, are the applications'.
const TOKEN: u64 = 1 << 62;
/// Connections on which nothing was ever asked are left alone for so long by a server that is shut down (Go's
/// net/http/server.go, `closeIdleConns`).
const NEVER_USED: Duration = Duration::from_secs(5);

/// All applications of a world.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    servers: Servers,
    running: BTreeMap<ContainerRef, Application>,
    /// Those that take no more connections, and end with their last answer.
    winding_up: BTreeSet<ContainerRef>,
    due: BTreeMap<u64, (ContainerRef, u64, Due)>,
    scheduled: u64,
    starts: u64,
    ended: VecDeque<(ContainerRef, u8)>,
    refused: Vec<Refused>,
}

/// A server that could not be started.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Of which container.
    pub container: ContainerRef,
    /// The server.
    pub server: Server,
    /// Why.
    pub why: Errno,
}

#[derive(Clone, Debug)]
struct Application {
    habits: Habits,
    /// Which of all starts it was: a container's next one is another application.
    start: u64,
    /// Servers that do not listen yet.
    waiting: Vec<Server>,
    servers: Vec<ServerId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// It listens.
    Listen,
    /// It heeds the stop signal.
    ShutDown,
    /// It ends with this code, whatever is on its way.
    End(u8),
}

impl Applications {
    /// A container has been started: it will listen as these servers do.
    pub fn start(&mut self, world: &mut World, container: ContainerRef, servers: Vec<Server>, habits: Habits) {
        self.starts += 1;
        let application = Application { habits, start: self.starts, waiting: servers, servers: Vec::new() };
        self.running.insert(container.clone(), application);
        self.after(world, &container, habits.listens_after, Due::Listen);
        if let Some((after, code)) = habits.ends_after {
            self.after(world, &container, after.max(Duration::from_nanos(1)), Due::End(code));
        }
    }

    /// A container was sent its stop signal.
    pub fn stop(&mut self, world: &mut World, container: &ContainerRef) {
        let Some(Application { habits, .. }) = self.running.get(container) else { return };
        let lame_duck = habits.lame_duck;
        match habits.on_stop {
            OnStop::Ignore => {}
            OnStop::Cut => self.after(world, container, lame_duck, Due::End(0)),
            OnStop::Drain => self.after(world, container, lame_duck, Due::ShutDown),
        }
    }

    /// A container was killed: its sockets are closed, and that is all.
    pub fn kill(&mut self, world: &mut World, container: &ContainerRef) {
        let Some(application) = self.running.remove(container) else { return };
        self.winding_up.remove(container);
        application.servers.into_iter().for_each(|server| self.servers.close(world, server));
    }

    /// A container ends by itself with this code, as in a crash; [`Self::next_ended`] tells.
    pub fn end(&mut self, world: &mut World, container: &ContainerRef, code: u8) {
        if self.running.contains_key(container) {
            self.kill(world, container);
            self.ended.push_back((container.clone(), code));
        }
    }

    /// Containers that have ended, with their exit codes, each once: their kubelet is to be told.
    pub fn next_ended(&mut self) -> Option<(ContainerRef, u8)> {
        self.ended.pop_front()
    }

    /// Takes the servers that could not be started since the last call.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// Something happened to a socket: serves it if it is a server's.
    pub fn wake(&mut self, world: &mut World, netns: NetnsId, socket: Socket) {
        self.servers.wake(world, netns, socket);
        let done: Vec<ContainerRef> = self.winding_up.iter().filter(|of| self.is_done(of)).cloned().collect();
        done.iter().for_each(|container| self.end(world, container, 0));
    }

    /// The world rang with this token; whether that was for an application.
    pub fn alarm(&mut self, world: &mut World, token: u64) -> bool {
        let Some((container, start, due)) = self.due.remove(&token) else { return false };
        if self.running.get(&container).is_some_and(|application| application.start == start) {
            self.happen(world, &container, due);
        }
        true
    }

    fn is_done(&self, container: &ContainerRef) -> bool {
        let application = self.running.get(container);
        application.is_none_or(|application| application.servers.iter().all(|server| self.servers.is_done(*server)))
    }

    fn after(&mut self, world: &mut World, container: &ContainerRef, delay: Duration, due: Due) {
        if delay == Duration::ZERO {
            return self.happen(world, container, due);
        }
        let Some(Application { start, .. }) = self.running.get(container) else { return };
        let token = TOKEN | self.scheduled;
        self.scheduled += 1;
        self.due.insert(token, (container.clone(), *start, due));
        world.alarm(world.now() + delay, token);
    }

    fn happen(&mut self, world: &mut World, container: &ContainerRef, due: Due) {
        let Some(application) = self.running.get_mut(container) else { return };
        match due {
            Due::Listen => {
                for server in std::mem::take(&mut application.waiting) {
                    match self.servers.start(world, server.clone()) {
                        Ok(id) => application.servers.push(id),
                        Err(why) => self.refused.push(Refused { container: container.clone(), server, why }),
                    }
                }
            }
            Due::End(code) => self.end(world, container, code),
            Due::ShutDown => {
                application.waiting.clear();
                application.servers.iter().for_each(|server| self.servers.shut_down(world, *server));
                if self.is_done(container) {
                    return self.end(world, container, 0);
                }
                self.winding_up.insert(container.clone());
                self.after(world, container, NEVER_USED, Due::End(0));
            }
        }
    }
}

#[cfg(test)]
mod tests;
