//! Names that are made up: the form Kubernetes gives them, without its randomness.
//!
//! Kubernetes hashes the pod template and draws the rest; here both come from the workload's own name, so a pod keeps its name
//! through every seed and every change that is not about it.

use std::fmt::Display;

use sha2::{Digest, Sha256};

/// Letters of generated names: no vowels and nothing like them, so that no word comes out (apimachinery pkg/util/rand).
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters of a pod's own part (apiserver pkg/storage/names/generate.go).
const SUFFIX: u32 = 5;
/// How many suffixes there are: 27^5.
const SUFFIXES: u64 = 27u64.pow(SUFFIX);
/// What is kept of the name a suffix is put to: a generated name has at most 63 characters.
const MAX_BASE: usize = 63 - SUFFIX as usize;

/// The part that stands for the workload's pod template number `revision`, the first one being 1: ten letters.
pub(crate) fn template_hash(workload: &impl Display, revision: u64) -> String {
    // 27^10 is far more than the templates anyone writes; a large stride makes each look unlike the one before.
    letters((digest(workload) / SUFFIXES).wrapping_add((revision - 1).wrapping_mul(74_183_915_607_631)), 10)
}

/// `base` and the suffix of what `maker` (a workload, a Service) made as number `index`; all it makes have different ones.
pub(crate) fn with_suffix(base: &str, maker: &impl Display, index: u64) -> String {
    // A stride without a factor of 3 visits each of the 3^15 suffixes once, and does not look like counting.
    let number = (digest(maker) % SUFFIXES + index % SUFFIXES * 8_675_309) % SUFFIXES;
    let base = base.get(..MAX_BASE).unwrap_or(base);
    format!("{base}{}", letters(number, SUFFIX))
}

fn letters(mut number: u64, count: u32) -> String {
    let mut letter = || {
        let letter = LETTERS[(number % 27) as usize];
        number /= 27;
        char::from(letter)
    };
    (0..count).map(|_| letter()).collect()
}

fn digest(maker: &impl Display) -> u64 {
    let bytes = Sha256::digest(maker.to_string());
    u64::from_be_bytes(bytes[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{template_hash, with_suffix};
    use crate::api::{ObjectKey, WorkloadKind, WorkloadRef};

    fn workload(name: &str) -> WorkloadRef {
        WorkloadRef { kind: WorkloadKind::Deployment, key: ObjectKey::new("default", name) }
    }

    #[test]
    fn no_two_pods_of_a_workload_share_a_name() {
        let web = workload("web");
        let names: BTreeSet<_> = (0..20_000).map(|i| with_suffix("web-", &web, i)).collect();
        assert_eq!(names.len(), 20_000);
    }

    #[test]
    fn names_depend_on_the_workload_alone() {
        assert_eq!(with_suffix("web-", &workload("web"), 0), with_suffix("web-", &workload("web"), 0));
        assert_ne!(template_hash(&workload("web"), 1), template_hash(&workload("api"), 1));
    }

    #[test]
    fn each_template_of_a_workload_has_a_hash_of_its_own() {
        let hashes: BTreeSet<_> = (1..=1000).map(|revision| template_hash(&workload("web"), revision)).collect();
        assert_eq!(hashes.len(), 1000);
    }

    #[test]
    fn a_long_name_is_cut_to_leave_room() {
        assert_eq!(with_suffix(&"a".repeat(80), &workload("web"), 0).len(), 63);
    }
}
