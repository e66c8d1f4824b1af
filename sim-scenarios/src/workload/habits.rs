//! What an application does around its start and its end.

use sim_core::engine::time::Duration;
use sim_k8s::api::{Container, RestartPolicy};

/// How long a container works that is to end and does not say by a `sleep` when.
const WORKS: Duration = Duration::from_secs(5);

/// The habits of an application. Default: it listens at once, and at the stop signal it drains and ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Habits {
    /// From its start to the moment it listens. Default 0.
    pub listens_after: Duration,
    /// What the stop signal makes it do.
    pub on_stop: OnStop,
    /// It goes on serving for so long after the stop signal before it does that. Default 0.
    pub lame_duck: Duration,
    /// It ends by itself so long after its start, with this exit code. Default: it does not.
    pub ends_after: Option<(Duration, u8)>,
}

/// What the stop signal makes an application do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnStop {
    /// It takes no more connections, closes idle ones, ends what it has begun, and exits: as Go's `http.Server.Shutdown`.
    #[default]
    Drain,
    /// It exits at once; what is on its way is cut.
    Cut,
    /// Nothing: it runs until it is killed. A process without a handler does so that is the first of its PID namespace
    /// (pid_namespaces(7)).
    Ignore,
}

/// What images are known for. nginx: docker-nginx's Dockerfile stops it with SIGQUIT, which drains; httpd and haproxy likewise
/// with SIGWINCH and SIGUSR1. Databases end their sessions (postgres is stopped with SIGINT, "fast shutdown"). The images of
/// distributions run a shell.
const IMAGES: &[(&str, OnStop)] = &[
    ("nginx", OnStop::Drain),
    ("httpd", OnStop::Drain),
    ("haproxy", OnStop::Drain),
    ("postgres", OnStop::Cut),
    ("mysql", OnStop::Cut),
    ("mariadb", OnStop::Cut),
    ("redis", OnStop::Cut),
    ("valkey", OnStop::Cut),
    ("memcached", OnStop::Cut),
    ("mongo", OnStop::Cut),
    ("busybox", OnStop::Ignore),
    ("alpine", OnStop::Ignore),
    ("debian", OnStop::Ignore),
    ("ubuntu", OnStop::Ignore),
];

impl Habits {
    /// The habits of a container in a pod with this restart policy. Where containers are not started again once they are
    /// done, they end, and well: after the time their command sleeps, or 5 s.
    pub fn of(container: &Container, policy: RestartPolicy) -> Self {
        let ends = policy != RestartPolicy::Always && !container.sidecar;
        let works = if container.sleeps == Duration::ZERO { WORKS } else { container.sleeps };
        Self { ends_after: ends.then_some((works, 0)), ..Self::of_image(&container.image) }
    }

    /// The habits that an image is known for, by its name without registry, tag and digest; else the default.
    pub fn of_image(image: &str) -> Self {
        let name = image.rsplit('/').next().unwrap_or_default();
        let name = name.split([':', '@']).next().unwrap_or_default();
        let on_stop = IMAGES.iter().find(|(known, _)| *known == name).map(|(_, on_stop)| *on_stop);
        Self { on_stop: on_stop.unwrap_or_default(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_whatever_its_registry_and_tag() {
        let on_stop = |image| Habits::of_image(image).on_stop;
        assert_eq!(on_stop("redis:alpine"), OnStop::Cut);
        assert_eq!(on_stop("registry.k8s.io:5000/library/busybox@sha256:00"), OnStop::Ignore);
        assert_eq!(on_stop("gcr.io/shop/frontend:v1"), OnStop::Drain);
        assert_eq!(on_stop(""), OnStop::Drain);
    }

    #[test]
    fn who_is_not_started_again_ends() {
        let sleeps = |secs| Container { sleeps: Duration::from_secs(secs), ..Container::default() };
        let ends = |container: &Container, policy| Habits::of(container, policy).ends_after;
        assert_eq!(ends(&sleeps(30), RestartPolicy::Never), Some((Duration::from_secs(30), 0)));
        assert_eq!(ends(&sleeps(0), RestartPolicy::OnFailure), Some((WORKS, 0)));
        assert_eq!(ends(&sleeps(30), RestartPolicy::Always), None);
        assert_eq!(ends(&Container { sidecar: true, ..sleeps(30) }, RestartPolicy::Never), None);
    }
}
