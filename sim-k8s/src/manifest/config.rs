//! ConfigMaps and Secrets, and the environments made from them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar as Variable, EnvVarSource, Secret};

use crate::api::{EnvSource, EnvVar, ObjectKey};

use super::check::Check;
use super::names;
use super::shown::shown;

/// Bytes of one ConfigMap or Secret (`MaxSecretSize`, pkg/apis/core/types.go).
const MAX_OBJECT_BYTES: usize = 1 << 20;
/// Bytes of all environments together: what one ConfigMap in thousands of containers comes to is bounded.
const MAX_ENVIRONMENT_BYTES: usize = 256 << 20;
/// Bytes that expanding `$(NAME)` may make of one value: a chain of variables doubles at each step.
const MAX_VALUE_BYTES: usize = 1 << 20;

type Texts = BTreeMap<String, String>;

/// The texts of the ConfigMaps and Secrets of the manifests, by kind and key. Binary values are left out: they can be no
/// environment variable.
#[derive(Default)]
pub(super) struct Configs {
    objects: BTreeMap<(&'static str, ObjectKey), Texts>,
    environment_bytes: usize,
}

/// A reference of an environment to a ConfigMap or Secret.
struct Reference<'a> {
    kind: &'static str,
    name: &'a str,
    /// Nothing is wrong if it does not exist.
    optional: bool,
}

impl Configs {
    pub(super) fn add_config_map(&mut self, check: &mut Check<'_>, object: ConfigMap) {
        self.add(check, "ConfigMap", object.data.unwrap_or_default());
    }

    /// `stringData` wins over `data`, as in the apiserver.
    pub(super) fn add_secret(&mut self, check: &mut Check<'_>, object: Secret) {
        let decoded = object.data.unwrap_or_default().into_iter();
        let mut texts: Texts = decoded.filter_map(|(k, v)| Some((k, String::from_utf8(v.0).ok()?))).collect();
        texts.extend(object.string_data.unwrap_or_default());
        self.add(check, "Secret", texts);
    }

    fn add(&mut self, check: &mut Check<'_>, kind: &'static str, texts: Texts) {
        let key = check.key(names::dns_subdomain);
        let bytes: usize = texts.iter().map(|(name, text)| name.len() + text.len()).sum();
        if bytes > MAX_OBJECT_BYTES {
            let message = format!("it holds {bytes} bytes; Kubernetes takes at most {MAX_OBJECT_BYTES}");
            check.error("data", message, "make it smaller");
        }
        self.objects.insert((kind, key), texts);
    }

    /// The environment of `container`, which stands at `path`, in the order the kubelet builds it
    /// (`makeEnvironmentVariables`, pkg/kubelet/kubelet_pods.go): `envFrom`, then `env`, a later name replacing an earlier
    /// one, and `$(NAME)` standing for what is already there.
    pub(super) fn environment(&mut self, check: &mut Check<'_>, path: &str, container: &Container) -> Vec<EnvVar> {
        let mut environment = Environment::default();
        for (index, from) in container.env_from.iter().flatten().enumerate() {
            let Some(reference) = env_from(from) else { continue };
            let prefix = from.prefix.as_deref().unwrap_or_default();
            for (name, text) in self.find(check, &format!("{path}.envFrom[{index}]"), &reference).into_iter().flatten()
            {
                environment.set(format!("{prefix}{name}"), EnvSource::Value(text.clone()));
            }
            if self.environment_bytes + environment.bytes > MAX_ENVIRONMENT_BYTES {
                break;
            }
        }
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let path = format!("{path}.env[{index}]");
            check.name(&format!("{path}.name"), &variable.name, names::env_name);
            if let Some(source) = self.source(check, &path, variable, &environment) {
                environment.set(variable.name.clone(), source);
            }
            if self.environment_bytes + environment.bytes > MAX_ENVIRONMENT_BYTES {
                break;
            }
        }
        self.environment_bytes += environment.bytes;
        if self.environment_bytes > MAX_ENVIRONMENT_BYTES {
            let message = format!("the environments together take more than {MAX_ENVIRONMENT_BYTES} bytes");
            check.error(path, message, "use smaller ConfigMaps, or fewer containers");
        }
        environment.variables
    }

    /// The value of `variable`; `None` if it stays unset.
    fn source(
        &self,
        check: &mut Check<'_>,
        path: &str,
        variable: &Variable,
        so_far: &Environment,
    ) -> Option<EnvSource> {
        let value = variable.value.as_deref().unwrap_or_default();
        let Some(from) = &variable.value_from else { return Some(EnvSource::Value(so_far.expand(value))) };
        if !value.is_empty() {
            check.error(path, "it has both a value and a valueFrom", "keep one of the two");
        }
        if let Some(field) = &from.field_ref {
            return Some(EnvSource::Field(field.field_path.clone()));
        }
        if let Some(resource) = &from.resource_field_ref {
            return Some(EnvSource::Field(resource.resource.clone()));
        }
        let (reference, key) = value_from(from)?;
        let found = self.find(check, path, &reference)?.get(key);
        if found.is_none() && !reference.optional {
            let message = format!("{} {} has no key \"{}\"", reference.kind, shown(reference.name), shown(key));
            check.warn(path, message, "the kubelet would not start the container; here the variable stays unset");
        }
        found.map(|text| EnvSource::Value(text.clone()))
    }

    /// What `reference`, which stands at `path`, refers to.
    fn find(&self, check: &mut Check<'_>, path: &str, reference: &Reference<'_>) -> Option<&Texts> {
        let key = ObjectKey::new(&check.document.key.namespace, reference.name);
        let texts = self.objects.get(&(reference.kind, key));
        if texts.is_none() && !reference.optional {
            let message = format!("{} {} is not among the manifests", reference.kind, shown(reference.name));
            check.warn(path, message, "add its file, or its variables stay unset");
        }
        texts
    }
}

fn env_from(from: &EnvFromSource) -> Option<Reference<'_>> {
    let config_map = from.config_map_ref.as_ref().map(|r| ("ConfigMap", &r.name, r.optional));
    let (kind, name, optional) = config_map.or(from.secret_ref.as_ref().map(|r| ("Secret", &r.name, r.optional)))?;
    Some(Reference { kind, name, optional: optional.unwrap_or_default() })
}

/// The object and the key in it.
fn value_from(from: &EnvVarSource) -> Option<(Reference<'_>, &str)> {
    let config_map = from.config_map_key_ref.as_ref().map(|r| ("ConfigMap", &r.name, &r.key, r.optional));
    let secret = from.secret_key_ref.as_ref().map(|r| ("Secret", &r.name, &r.key, r.optional));
    let (kind, name, key, optional) = config_map.or(secret)?;
    Some((Reference { kind, name, optional: optional.unwrap_or_default() }, key))
}

/// The variables of a container so far, in the order they were first named.
#[derive(Default)]
struct Environment {
    variables: Vec<EnvVar>,
    index: BTreeMap<String, usize>,
    bytes: usize,
}

impl Environment {
    fn set(&mut self, name: String, source: EnvSource) {
        self.bytes += name.len() + size_of::<EnvVar>();
        if let EnvSource::Value(value) = &source {
            self.bytes += value.len();
        }
        match self.index.get(&name) {
            Some(&at) => self.variables[at].source = source,
            None => {
                self.index.insert(name.clone(), self.variables.len());
                self.variables.push(EnvVar { name, source });
            }
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.variables[*self.index.get(name)?].value()
    }

    /// `text` with `$(NAME)` replaced; `$$` is a dollar sign, and what names nothing stays
    /// (third_party/forked/golang/expansion/expand.go).
    fn expand(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            let reference = rest.strip_prefix("$(").and_then(|r| r.split_once(')'));
            let (value, after) = match reference {
                Some((name, after)) => match self.value(name) {
                    Some(value) if out.len() + value.len() <= MAX_VALUE_BYTES => (value, after),
                    _ => (&rest[..name.len() + 3], after),
                },
                None if rest.starts_with("$$") => ("$", &rest[2..]),
                None => ("$", &rest[1..]),
            };
            out.push_str(value);
            rest = after;
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use super::{EnvSource, Environment};

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in pairs {
            environment.set(name.to_string(), EnvSource::Value(value.to_string()));
        }
        environment
    }

    #[test]
    fn references_stand_for_earlier_variables() {
        let so_far = environment(&[("HOST", "db"), ("PORT", "5432")]);
        assert_eq!(so_far.expand("postgres://$(HOST):$(PORT)/x"), "postgres://db:5432/x");
        assert_eq!(so_far.expand("$(NOBODY) $$(HOST) $ $(HOST"), "$(NOBODY) $(HOST) $ $(HOST");
        assert_eq!(so_far.expand("no reference"), "no reference");
    }

    #[test]
    fn a_chain_of_doubling_variables_stays_bounded() {
        let mut so_far = environment(&[("V0", "0123456789")]);
        for i in 1..64 {
            let value = so_far.expand(&format!("$(V{0})$(V{0})", i - 1));
            so_far.set(format!("V{i}"), EnvSource::Value(value));
        }
        assert!(so_far.variables.iter().all(|v| v.value().unwrap().len() <= 2 << 20));
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one_of_its_name() {
        let so_far = environment(&[("A", "1"), ("B", "2"), ("A", "3")]);
        assert_eq!((so_far.variables.len(), so_far.value("A")), (2, Some("3")));
    }
}
