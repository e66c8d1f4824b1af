//! Dependencies as `deny.toml` allows them, for machines without cargo-deny: licences, bans, duplicates, sources.
//! Advisories need cargo-deny itself.

use std::collections::BTreeMap;

use serde_json::Value;

/// One dependency as `cargo metadata` describes it.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, an SPDX expression; empty if it names none.
    pub license: String,
    /// Where it comes from; `None` for a package of ours.
    pub source: Option<String>,
    /// Names of the packages that depend on it.
    pub dependents: Vec<String>,
}

/// What `deny.toml` says, as far as it is checked here.
#[derive(Clone, Debug, Default)]
pub struct Law {
    /// Licences that may be used.
    pub licenses: Vec<String>,
    /// Banned packages, each with those that may use it all the same.
    pub banned: Vec<(String, Vec<String>)>,
    /// Packages of which there may be several versions.
    pub several: Vec<String>,
}

impl Law {
    /// Reads `deny.toml`, in the form this repository writes it: an array's brackets stand on lines of their own.
    pub fn read(text: &str) -> Self {
        let lines_of = |array: &str| {
            let begins = format!("{array} = [");
            let after = text.lines().skip_while(move |line| *line != begins).skip(1);
            after.take_while(|line| *line != "]").filter(|line| !line.trim_start().starts_with('#'))
        };
        let entry = |line: &str| {
            let wrappers = line.split_once("wrappers = [").and_then(|(_, rest)| rest.split_once(']'));
            let name = strings(line).into_iter().next().unwrap_or_default();
            (name, wrappers.map_or(Vec::new(), |(inside, _)| strings(inside)))
        };
        Self {
            licenses: lines_of("allow").flat_map(strings).collect(),
            banned: lines_of("deny").map(entry).collect(),
            several: lines_of("skip").map(|line| entry(line).0).collect(),
        }
    }

    /// What `packages` break of it.
    pub fn check(&self, packages: &[Package]) -> Vec<String> {
        let mut found = Vec::new();
        let mut versions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for package in packages {
            versions.entry(&package.name).or_default().push(package.version.as_str());
            found.extend(self.check_one(package));
        }
        for (name, versions) in versions {
            if versions.len() > 1 && !self.several.contains(name) {
                found.push(format!("{name}: {} versions ({})", versions.len(), versions.join(", ")));
            }
        }
        found
    }

    fn check_one(&self, package: &Package) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |what: String| found.push(format!("{} {}: {what}", package.name, package.version));
        if !self.permits(&package.license) {
            say(format!("licence \"{}\" is not among those allowed", package.license));
        }
        if package
            .source
            .as_ref()
            .is_some_and(|source| source != "registry+https://github.com/rust-lang/crates.io-index")
        {
            say("comes from elsewhere than crates.io".to_owned());
        }
        if let Some((_, wrappers)) = self.banned.iter().find(|(name, _)| *name == package.name) {
            let users: Vec<_> = package.dependents.iter().filter(|name| !wrappers.contains(name)).collect();
            if !users.is_empty() {
                say(format!("banned, but used by {users:?}"));
            }
        }
        found
    }

    /// Whether an SPDX expression can be met with licences that may be used. `/` is the old way to write `OR`.
    fn permits(&self, expression: &str) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<_> = spaced.split_whitespace().collect();
        let mut at = 0;
        let met = self.any(&words, &mut at);
        met && at == words.len()
    }

    fn any(&self, words: &[&str], at: &mut usize) -> bool {
        let mut met = self.all(words, at);
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            met |= self.all(words, at);
        }
        met
    }

    fn all(&self, words: &[&str], at: &mut usize) -> bool {
        let mut met = self.one(words, at);
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            met &= self.one(words, at);
        }
        met
    }

    fn one(&self, words: &[&str], at: &mut usize) -> bool {
        let first = words.get(*at).copied().unwrap_or_default();
        *at += 1;
        if first == "(" {
            let met = self.any(words, at);
            *at += 1;
            return met;
        }
        // An exception only adds permissions, but is listed with its licence all the same.
        let exception = words.get(*at) == Some(&"WITH");
        let name = if exception { words[*at - 1..(*at + 2).min(words.len())].join(" ") } else { first.to_owned() };
        *at += if exception { 2 } else { 0 };
        self.licenses.contains(&name)
    }
}

/// The texts between quote marks.
fn strings(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The packages in the output of `cargo metadata --format-version 1`; `None` if it has another form.
pub fn packages(metadata: &str) -> Option<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let mut by_id = BTreeMap::new();
    for package in metadata["packages"].as_array()? {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        let read = Package {
            name: text("name")?,
            version: text("version")?,
            license: text("license").unwrap_or_default(),
            source: text("source"),
            dependents: Vec::new(),
        };
        by_id.insert(package["id"].as_str()?, read);
    }
    for node in metadata["resolve"]["nodes"].as_array()? {
        let user = by_id.get(node["id"].as_str()?)?.name.clone();
        for dependency in node["dependencies"].as_array()? {
            by_id.get_mut(dependency.as_str()?)?.dependents.push(user.clone());
        }
    }
    Some(by_id.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law() -> Law {
        Law::read(
            "[licenses]\nallow = [\n  \"MIT\",\n  \"Zlib\",\n]\n[bans]\ndeny = [\n  # why\n  { crate = \"rand\", wrappers = \
             [\"proptest\"], reason = \"x\" },\n]\nskip = [\n  { crate = \"syn\" },\n]\n",
        )
    }

    fn package(name: &str, license: &str, dependents: &[&str]) -> Package {
        let dependents = dependents.iter().map(|name| (*name).to_owned()).collect();
        Package { name: name.to_owned(), license: license.to_owned(), dependents, ..Package::default() }
    }

    #[test]
    fn a_licence_expression_must_be_met_by_what_is_allowed() {
        for good in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "(MIT OR GPL-3.0) AND Zlib", "Foo WITH bar OR MIT"] {
            assert!(law().permits(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT WITH bar", "MIT)", "OR", "MIT Zlib", "Foo WITH"] {
            assert!(!law().permits(bad), "{bad}");
        }
    }

    #[test]
    fn a_banned_package_may_be_used_by_its_wrappers_only() {
        assert!(law().check(&[package("rand", "MIT", &["proptest"])]).is_empty());
        let found = law().check(&[package("rand", "MIT", &["proptest", "sim-core"])]);
        assert_eq!(found, ["rand : banned, but used by [\"sim-core\"]"]);
    }

    #[test]
    fn one_package_is_there_once() {
        assert_eq!(law().check(&[package("bytes", "MIT", &[]), package("bytes", "MIT", &[])]).len(), 1);
        assert!(law().check(&[package("syn", "MIT", &[]), package("syn", "MIT", &[])]).is_empty());
    }

    #[test]
    fn packages_come_from_one_registry() {
        let forked = Package { source: Some("git+https://x".to_owned()), ..package("bytes", "MIT", &[]) };
        assert_eq!(law().check(&[forked]).len(), 1);
    }
}
