//! Probes and hooks of containers.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{
    ExecAction, HTTPGetAction, Lifecycle as K8sLifecycle, LifecycleHandler, PodSpec, Probe as K8sProbe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sim_core::engine::time::Duration;

use crate::api::{ContainerPort, Handler, HttpGet, Lifecycle, Probe, RestartPolicy};

use super::check::Check;
use super::shown::shown;

/// What may be asked of a probe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    /// Startup and liveness: the first success counts.
    OneSuccess,
    /// Readiness: several successes may be asked for.
    Readiness,
}

impl Check<'_> {
    /// A probe (`SetDefaults_Probe`, pkg/apis/core/v1/defaults.go; `validateProbe`, pkg/apis/core/validation).
    pub(super) fn probe(
        &mut self,
        path: &str,
        from: &K8sProbe,
        ports: &[ContainerPort],
        kind: ProbeKind,
    ) -> Option<Probe> {
        let mut number = |field: &str, number: Option<i32>, otherwise: u32| {
            // 0 is as good as absent: Go does not tell them apart.
            let number = number.filter(|number| *number != 0);
            self.count(&format!("{path}.{field}"), number, otherwise)
        };
        let initial_delay = u64::from(number("initialDelaySeconds", from.initial_delay_seconds, 0));
        let timeout = number("timeoutSeconds", from.timeout_seconds, 1);
        let period = number("periodSeconds", from.period_seconds, 10);
        let success_threshold = number("successThreshold", from.success_threshold, 1);
        let failure_threshold = number("failureThreshold", from.failure_threshold, 3);
        if kind == ProbeKind::OneSuccess && success_threshold != 1 {
            let message = "it must be 1 for startup and liveness probes";
            self.error(&format!("{path}.successThreshold"), message, "leave it out");
        }
        let tcp = from.tcp_socket.as_ref().map(|tcp| (tcp.host.as_deref(), &tcp.port));
        let grpc = from.grpc.as_ref().map(|grpc| (grpc.port, grpc.service.clone().unwrap_or_default()));
        let handlers = [
            from.http_get.as_ref().and_then(|get| self.http_get(&format!("{path}.httpGet"), get, ports)),
            tcp.and_then(|(host, port)| self.tcp_socket(&format!("{path}.tcpSocket"), host, port, ports)),
            grpc.map(|(port, service)| Handler::Grpc { port: self.port(&format!("{path}.grpc.port"), port), service }),
            from.exec.as_ref().map(|exec| Handler::Exec(sleeps(exec.command.iter().flatten()))),
        ];
        let handler = self.one_handler(path, "httpGet, tcpSocket, grpc or exec", handlers.into_iter().flatten())?;
        let grace = from.termination_grace_period_seconds;
        Some(Probe {
            handler,
            initial_delay,
            timeout: Duration::from_secs(timeout.into()),
            period: Duration::from_secs(period.into()),
            success_threshold,
            failure_threshold,
            grace: grace.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(1))),
        })
    }

    /// Whether containers are started again; that a pod will be ready is nobody else's to say.
    pub(super) fn restart_policy(&mut self, path: &str, spec: &PodSpec) -> RestartPolicy {
        if spec.readiness_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
            let message = "nothing in this cluster sets the conditions they name: the pod would never be ready";
            self.error(&format!("{path}.readinessGates"), message, "leave readinessGates out");
        }
        let known = [
            ("Always", RestartPolicy::Always),
            ("OnFailure", RestartPolicy::OnFailure),
            ("Never", RestartPolicy::Never),
        ];
        let policy = spec.restart_policy.as_deref();
        self.one_of(&format!("{path}.restartPolicy"), policy, &known, RestartPolicy::Always)
    }

    /// The hooks of a container.
    pub(super) fn lifecycle(&mut self, path: &str, from: Option<&K8sLifecycle>, ports: &[ContainerPort]) -> Lifecycle {
        let mut hook =
            |field: &str, from: Option<&LifecycleHandler>| self.hook(&format!("{path}.{field}"), from?, ports);
        let from = |hook: fn(&K8sLifecycle) -> Option<&LifecycleHandler>| from.and_then(hook);
        let post_start = hook("postStart", from(|lifecycle| lifecycle.post_start.as_ref()));
        Lifecycle { post_start, pre_stop: hook("preStop", from(|lifecycle| lifecycle.pre_stop.as_ref())) }
    }

    fn hook(&mut self, path: &str, from: &LifecycleHandler, ports: &[ContainerPort]) -> Option<Handler> {
        let sleep = from.sleep.as_ref().map(|sleep| {
            let seconds = u64::try_from(sleep.seconds);
            if seconds.is_err() {
                self.error(&format!("{path}.sleep.seconds"), "it is negative", "write 0 or more");
            }
            Handler::Sleep(Duration::from_secs(seconds.unwrap_or_default()))
        });
        let tcp = from.tcp_socket.as_ref().map(|tcp| (tcp.host.as_deref(), &tcp.port));
        let handlers = [
            from.http_get.as_ref().and_then(|get| self.http_get(&format!("{path}.httpGet"), get, ports)),
            tcp.and_then(|(host, port)| self.tcp_socket(&format!("{path}.tcpSocket"), host, port, ports)),
            from.exec.as_ref().map(|exec| self.hook_command(path, exec)),
            sleep,
        ];
        self.one_handler(path, "exec, httpGet or sleep", handlers.into_iter().flatten())
    }

    /// A command's `sleep`s are known, what else it does is not.
    fn hook_command(&mut self, path: &str, exec: &ExecAction) -> Handler {
        let words: Vec<&str> = exec.command.iter().flatten().flat_map(|word| word.split_whitespace()).collect();
        let takes = sleeps(exec.command.iter().flatten());
        if takes == Duration::ZERO {
            let message =
                format!("\"{}\" is taken to end at once: a sleep is all that is known here", shown(&words.join(" ")));
            self.warn(&format!("{path}.exec"), message, "if it takes time, say so by a sleep");
        }
        Handler::Exec(takes)
    }

    /// Exactly one (`validateHandler`).
    fn one_handler(&mut self, path: &str, known: &str, mut found: impl Iterator<Item = Handler>) -> Option<Handler> {
        let first = found.next();
        if found.next().is_some() || (first.is_none() && self.says_nothing_of_handlers(path)) {
            self.error(path, "it must do exactly one thing", format!("write one of {known}"));
        }
        first
    }

    /// Whether an absent handler is the document's fault, and not an error that was told already.
    fn says_nothing_of_handlers(&self, path: &str) -> bool {
        !["httpGet", "tcpSocket", "grpc", "exec", "sleep"].iter().any(|field| self.says(&format!("{path}.{field}")))
    }

    fn http_get(&mut self, path: &str, from: &HTTPGetAction, ports: &[ContainerPort]) -> Option<Handler> {
        let https =
            self.one_of(&format!("{path}.scheme"), from.scheme.as_deref(), &[("HTTP", false), ("HTTPS", true)], false);
        let host = self.probed_host(&format!("{path}.host"), from.host.as_deref());
        let port = self.probed_port(&format!("{path}.port"), &from.port, ports)?;
        let asked = from.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".into());
        let headers = from.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        let headers: Vec<_> = headers.collect();
        // What could end a line would be another header, or another request (`IsHTTPHeaderName`, net/http).
        let breaks = |text: &String| text.contains(|c: char| c.is_control());
        if breaks(&asked)
            || headers.iter().any(|(name, value)| breaks(name) || breaks(value) || name.contains([':', ' ']))
        {
            self.error(path, "path and headers hold characters that no request can", "use printable characters");
            return None;
        }
        Some(Handler::HttpGet(HttpGet { https, host, port, path: asked, headers }))
    }

    fn tcp_socket(
        &mut self,
        path: &str,
        host: Option<&str>,
        port: &IntOrString,
        ports: &[ContainerPort],
    ) -> Option<Handler> {
        let host = self.probed_host(&format!("{path}.host"), host);
        Some(Handler::TcpSocket { host, port: self.probed_port(&format!("{path}.port"), port, ports)? })
    }

    fn probed_host(&mut self, path: &str, host: Option<&str>) -> Option<IpAddr> {
        match host.filter(|host| !host.is_empty())? {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            host => self.address(path, host),
        }
    }

    /// A number, or the name of a port of the container (`ResolveContainerPort`, pkg/probe/util.go).
    fn probed_port(&mut self, path: &str, port: &IntOrString, ports: &[ContainerPort]) -> Option<u16> {
        let named = match port {
            IntOrString::Int(number) => return Some(self.port(path, *number)),
            IntOrString::String(name) => {
                ports.iter().find(|port| port.name.as_ref() == Some(name)).map(|port| port.port)
            }
        };
        if named.is_none() {
            let message = "the container has no port of that name";
            self.error(path, message, "write the name or the number of one of its ports");
        }
        named
    }
}

/// How long a command sleeps, all its `sleep`s together: `sleep 5`, `sh -c "sleep 2.5; nginx -s quit"`.
pub(super) fn sleeps<'w>(words: impl Iterator<Item = &'w String>) -> Duration {
    let mut words = words.flat_map(|word| word.split([' ', '\t', '\n', ';', '&', '|', '(', ')', '"', '\'']));
    let mut sum = Duration::ZERO;
    while let Some(word) = words.next() {
        if word == "sleep" || word.ends_with("/sleep") {
            sum = sum + words.find(|word| !word.is_empty()).and_then(seconds).unwrap_or_default();
        }
    }
    sum
}

/// A number with an optional fraction and unit, as coreutils' sleep takes it.
fn seconds(word: &str) -> Option<Duration> {
    if matches!(word, "infinity" | "inf") {
        return Some(Duration::from_secs(u64::from(u32::MAX)));
    }
    let (number, unit) = match word.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => word.split_at(at),
        None => (word, "s"),
    };
    let unit = ["s", "m", "h", "d"].iter().zip([1, 60, 3600, 86400]).find(|(name, _)| **name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let millis: u64 = format!("{:0<3}", fraction).get(..3)?.parse().ok()?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(
        Duration::from_millis(millis).saturating_mul(unit)
            + Duration::from_secs(1).saturating_mul(whole).saturating_mul(unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_takes_as_long_as_it_sleeps() {
        let takes =
            |words: &[&str]| sleeps(words.iter().map(ToString::to_string).collect::<Vec<_>>().iter()).as_millis();
        assert_eq!(takes(&["sleep", "5"]), 5_000);
        assert_eq!(takes(&["/bin/sleep", "1m"]), 60_000);
        assert_eq!(takes(&["/bin/sh", "-c", "sleep 2.5; nginx -s quit && sleep 1"]), 3_500);
        assert_eq!(takes(&["sh", "-c", "(sleep .25)"]), 250);
        assert_eq!(takes(&["nginx", "-s", "quit"]), 0);
        assert_eq!(takes(&["sleep"]), 0);
        assert_eq!(takes(&["sleep", "99999999999999999999"]), 0, "no number");
        assert!(takes(&["sleep", "infinity"]) > 1_000_000_000);
    }
}
