//! What a name of the cluster's zone asks for (`parseRequest`, plugin/kubernetes/parse.go).

/// The second label from the right of what stands before the zone: whose name it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `….svc.cluster.local`
    Service,
    /// `….pod.cluster.local`
    Pod,
}

/// A name taken apart. What it does not mention is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked<'a> {
    /// The zone itself, or `svc`, or `pod`.
    Apex,
    /// A namespace.
    Namespace(&'a str),
    /// Something in a namespace.
    Object(Object<'a>),
}

/// Something in a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Object<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    /// The Service, or the pod's address with dashes.
    pub(super) name: &'a str,
    /// One endpoint of it, by its host name.
    pub(super) endpoint: Option<&'a str>,
    /// One port of it by name and protocol, with or without their underscores.
    pub(super) port: Option<(&'a str, &'a str)>,
}

/// Takes apart the labels before the zone, in lower case; `None` if nothing is ever called so.
pub(super) fn parse(labels: &[String]) -> Option<Asked<'_>> {
    let bare = |label: &'_ String| -> usize { usize::from(label.starts_with('_')) };
    let [before @ .., kind] = labels else { return Some(Asked::Apex) };
    let kind = match kind.as_str() {
        "svc" => Kind::Service,
        "pod" => Kind::Pod,
        _ => return None,
    };
    let (endpoint, port, name, namespace) = match before {
        [] => return Some(Asked::Apex),
        [namespace] => return Some(Asked::Namespace(namespace)),
        [name, namespace] => (None, None, name, namespace),
        [endpoint, name, namespace] => (Some(endpoint.as_str()), None, name, namespace),
        [port, protocol, name, namespace] => {
            (None, Some((&port[bare(port)..], &protocol[bare(protocol)..])), name, namespace)
        }
        _ => return None,
    };
    Some(Asked::Object(Object { kind, namespace, name, endpoint, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> String {
        let labels: Vec<String> = name.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        match parse(&labels) {
            None => "nothing".into(),
            Some(Asked::Apex) => "apex".into(),
            Some(Asked::Namespace(namespace)) => format!("namespace {namespace}"),
            Some(Asked::Object(Object { kind, namespace, name, endpoint, port })) => {
                format!("{kind:?} {namespace}/{name} {endpoint:?} {port:?}")
            }
        }
    }

    #[test]
    fn each_label_has_its_place() {
        assert_eq!(["", "svc", "pod"].map(asked), ["apex", "apex", "apex"]);
        assert_eq!(asked("default.svc"), "namespace default");
        assert_eq!(asked("web.default.svc"), "Service default/web None None");
        assert_eq!(asked("web-0.web.default.svc"), "Service default/web Some(\"web-0\") None");
        assert_eq!(asked("_http._tcp.web.default.svc"), "Service default/web None Some((\"http\", \"tcp\"))");
        assert_eq!(asked("http.tcp.web.default.svc"), asked("_http._tcp.web.default.svc"));
        assert_eq!(asked("10-0-0-1.default.pod"), "Pod default/10-0-0-1 None None");
    }

    #[test]
    fn nothing_else_is_a_name() {
        for name in ["default", "web.default", "a.b.c.web.default.svc", "x.svc.y"] {
            assert_eq!(asked(name), "nothing", "{name}");
        }
    }
}
